#!/usr/bin/env python3
import http.server, os, signal, sys
if sys.argv[1] != "serve":
    print(" ".join(sys.argv[1:]), os.environ["SERIN_SERVER"])
    sys.exit(0 if sys.argv[1] != "fail" else "no such verb")
flags = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if os.listdir(flags["--specs"]) == ["broken.yaml"]:
    sys.exit("broken.yaml:1:1: nonsense")
print("started", flush=True)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
host, port = flags["--http"].split(":")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer.allow_reuse_address = True
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
