"""Somebody who has done nothing: asks the gateway one thing after the other on a connection of his own, in a process of
his own, and tells what that was like. Run by itself it is that process; `Bystander` is how a script has one."""

import json
import os
import select
import socket
import subprocess
import sys
import time

PAUSE_S = 0.003


def percentile(sorted_values, part):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * part))] if sorted_values else 0.0


def _ask(sock, request):
    sock.sendall(request)
    said = b""
    while b"\r\n\r\n" not in said:
        piece = sock.recv(65536)
        if not piece:
            raise OSError("closed")
        said += piece
    head, body = said.split(b"\r\n\r\n", 1)
    length = int([line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")][0].split(b":")[1])
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            raise OSError("closed in the body")
        body += piece
    return head.split(b" ", 2)[1].decode()


def serve(address):
    """A service that answers everything at once, for as long as standard input is open. address: a port, or a path."""
    import selectors
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
    listener = socket.socket(socket.AF_UNIX) if address.startswith("/") else socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address if address.startswith("/") else ("127.0.0.1", int(address)))
    listener.listen(1024)
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    ready.register(sys.stdin, selectors.EVENT_READ)
    print(listener.getsockname()[1], flush=True)
    taken = 0
    while True:
        for key, _ in ready.select():
            if key.fileobj is sys.stdin:
                line = sys.stdin.readline()
                if not line:
                    return
                print(taken, flush=True)
            elif key.fileobj is listener:
                sock, _ = listener.accept()
                taken += 1
                ready.register(sock, selectors.EVENT_READ)
            else:
                try:
                    data = key.fileobj.recv(65536)
                    if data:
                        key.fileobj.sendall(answer * data.count(b"\r\n\r\n"))
                        continue
                except OSError:
                    pass
                ready.unregister(key.fileobj)
                key.fileobj.close()


class Service:
    """`serve` in a process of its own."""

    def __init__(self, address="0"):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--serve", address],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline().strip()
        self.address = "unix:" + address if address.startswith("/") else "127.0.0.1:" + said
        self.port = None if address.startswith("/") else int(said)

    def connections(self):
        """How many it has taken."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def signal(self, signo):
        self.process.send_signal(signo)

    def stop(self):
        self.process.kill()
        self.process.wait()


def serving(pid):
    """The process that serves: the last child of that one, or itself."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        children = file.read().split()
    return serving(int(children[-1])) if children else pid


def main():
    """Until standard input ends; a line on it is answered with what there was since the last one."""
    port, request = int(sys.argv[1]), sys.argv[2].encode()
    sock, times, wrong, began = None, [], {}, time.monotonic()
    while True:
        start = time.monotonic()
        try:
            if sock is None:
                sock = socket.create_connection(("127.0.0.1", port), timeout=20)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            status = _ask(sock, request)
            if status != "200":
                wrong[status] = wrong.get(status, 0) + 1
        except OSError as error:
            wrong[type(error).__name__] = wrong.get(type(error).__name__, 0) + 1
            if sock:
                sock.close()
            sock = None
            time.sleep(0.01)
        times.append((time.monotonic() - start) * 1000)
        if select.select([sys.stdin], [], [], PAUSE_S)[0]:
            line = sys.stdin.readline()
            times.sort()
            print(json.dumps({"n": len(times), "wrong": sum(wrong.values()), "what": wrong,
                              "p50": round(percentile(times, 0.5), 2), "p99": round(percentile(times, 0.99), 2),
                              "max": round(times[-1], 1), "seconds": round(time.monotonic() - began, 1)}), flush=True)
            if not line:
                return
            times, wrong, began = [], {}, time.monotonic()


class Bystander:
    """On that port, with that path and those fields; `since` tells and begins anew."""

    def __init__(self, port, path, fields=()):
        request = "GET %s HTTP/1.1\r\nHost: gateway.test\r\n%s\r\n" % (path, "".join("%s: %s\r\n" % f for f in fields))
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(port), request],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def since(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        said = self.process.stdout.readline()
        self.process.wait()
        return json.loads(said) if said else None


if __name__ == "__main__":
    try:
        if sys.argv[1] == "--serve":
            serve(sys.argv[2])
        else:
            main()
    except BrokenPipeError:  # whoever asked has gone
        os._exit(0)
