"""A collector of traces on loopback: takes OTLP over HTTP, or does what a test wants instead."""

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What it was sent."""

    def __init__(self, url):
        self.url = url
        self.status = 200
        self.body = b""
        self.told = {}
        """Headers that it answers with."""
        self.waits = threading.Event()
        """It answers once this is set."""
        self.waits.set()
        self.resources = []
        self.spans = []
        self.headers = []
        self.came = threading.Condition()

    def take(self, headers, data):
        request = ExportTraceServiceRequest.FromString(data)
        with self.came:
            self.headers.append(dict(headers))
            if self.status == 200:
                for one in request.resource_spans:
                    self.resources.append(table(one.resource.attributes))
                    self.spans += [span for scope in one.scope_spans for span in scope.spans]
            self.came.notify_all()

    def until(self, done, within_s=20):
        with self.came:
            assert self.came.wait_for(lambda: done(self), within_s)


@contextmanager
def a_collector():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Encoding"] == "gzip"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            collector.take(self.headers, gzip.decompress(data))
            collector.waits.wait(30)
            try:
                self.send_response(collector.status)
                for name, value in collector.told.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(collector.body)
            except OSError:
                pass

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}/v1/traces")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.waits.set()
        server.shutdown()
        thread.join()
        server.server_close()


def table(attributes):
    """Attributes as plain values."""
    return {one.key: value(one.value) for one in attributes}


def value(wire):
    kind = wire.WhichOneof("value")
    found = getattr(wire, kind)
    return tuple(value(one) for one in found.values) if kind == "array_value" else found
