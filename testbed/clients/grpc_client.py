"""A gRPC client without a proxy: resolves `xds:///NAME` by GRPC_XDS_BOOTSTRAP, and prints who answered, a line of JSON
for each request: {"code": "OK", "version": "v1"}.

Python's gRPC library (C-core) with no generated code: the messages are empty.
"""

import argparse
import json
import sys
import time

import grpc


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--method", default="/serin.testbed.Echo/Say")
    parser.add_argument("--count", type=int, default=0, help="how many requests; 0: until it is ended")
    parser.add_argument("--rate", type=float, default=0, help="requests per second; 0: one after the other")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--timeout", type=float, default=30, help="of one request, in seconds")
    args = parser.parse_args()
    metadata = [tuple(header.split(":", 1)) for header in args.header]
    with grpc.insecure_channel(args.target) as channel:
        call = channel.unary_unary(args.method)
        sent, start = 0, time.monotonic()
        while not args.count or sent < args.count:
            if args.rate:
                time.sleep(max(0.0, start + sent / args.rate - time.monotonic()))
            sent += 1
            try:
                _, answer = call.with_call(b"", metadata=metadata, timeout=args.timeout, wait_for_ready=True)
            except grpc.RpcError as error:
                answer = error
            version = dict(answer.initial_metadata() or ()).get("x-version")
            line = {"code": answer.code().name, "version": version}
            if answer.code() != grpc.StatusCode.OK:
                line["details"] = answer.details()
            print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
