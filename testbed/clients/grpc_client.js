// A gRPC client without a proxy: resolves `xds:///NAME` by GRPC_XDS_BOOTSTRAP, and prints who answered, a line of JSON
// for each request: {"code": "OK", "version": "v1"}. The arguments are those of grpc_client.py.
//
// Node's gRPC library (@grpc/grpc-js with @grpc/grpc-js-xds) with no generated code: the messages are empty.
'use strict';

const { parseArgs } = require('node:util');
const { setTimeout: sleep } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
require('@grpc/grpc-js-xds').register();

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    method: { type: 'string', default: '/serin.testbed.Echo/Say' },
    count: { type: 'string', default: '0' }, // how many requests; 0: until it is ended
    rate: { type: 'string', default: '0' }, // requests per second; 0: one after the other
    header: { type: 'string', multiple: true, default: [] }, // NAME:VALUE
    timeout: { type: 'string', default: '30' }, // of one request, in seconds
  },
});

const metadata = new grpc.Metadata({ waitForReady: true });
for (const header of values.header) {
  const colon = header.indexOf(':');
  metadata.add(header.slice(0, colon), header.slice(colon + 1));
}
const client = new grpc.Client(positionals[0], grpc.credentials.createInsecure());
const asTheyAre = (bytes) => bytes;

/** One request. */
function call() {
  return new Promise((done) => {
    let version = null;
    const deadline = Date.now() + Number(values.timeout) * 1000;
    const answer = (error) => {
      const code = Object.keys(grpc.status).find((name) => grpc.status[name] === (error ? error.code : 0));
      done(error ? { code, version, details: error.details } : { code, version });
    };
    client
      .makeUnaryRequest(values.method, asTheyAre, asTheyAre, Buffer.alloc(0), metadata, { deadline }, answer)
      .on('metadata', (initial) => { version = initial.get('x-version')[0] ?? null; });
  });
}

async function main() {
  const [count, rate] = [Number(values.count), Number(values.rate)];
  const start = Date.now();
  for (let sent = 0; !count || sent < count; sent++) {
    if (rate) await sleep(Math.max(0, start + (sent / rate) * 1000 - Date.now()));
    console.log(JSON.stringify(await call()));
  }
  client.close();
}

main();
