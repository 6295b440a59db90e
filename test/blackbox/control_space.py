"""Space control of a running data role, written as the administration writes it (store_tool.c)."""

import json
import os
import subprocess
import time

import port
from port import Failure, Skip


def tool():
    path = os.path.join(os.environ.get("BUILD") or os.path.dirname(port.binary()), "test", "blackbox", "store_tool")
    if not os.access(path, os.X_OK):
        raise Skip("no test/blackbox/store_tool in BUILD")
    return path


class Store:
    """Space control of a running data role."""

    def __init__(self, data):
        self.popen = subprocess.Popen([tool(), "unix:" + os.path.join(data, "data.sock")], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, bufsize=1)

    def raw(self, line):
        self.popen.stdin.write(line + "\n")
        return self.popen.stdout.readline().strip()

    def ask(self, line):
        answer = self.raw(line)
        if not answer.startswith("ok"):
            raise Failure("the store says %r to %r" % (answer, line[:80]))
        return answer[3:]

    def put(self, key, value, expires=0):
        return int(self.ask("put %d %s %s" % (expires, key, json.dumps(value, separators=(",", ":")))))

    def delete(self, key):
        return int(self.ask("del " + key))

    def in_force(self, number, ms=5000):
        """Microseconds until every watcher has confirmed it."""
        return int(self.ask("wait %d %d" % (number, ms)))

    def apikey(self, key, **more):
        value = {"product": key.product, "sha256": key.entry["sha256"], "created_ms": 1}
        value.update(more)
        return self.put("apikey/" + key.entry["id"], value)

    def revoke(self, what, before=None, expires=0):
        return self.put("revoked/" + what, {"before_s": int(time.time()) if before is None else before, "at_ms": 1},
                        expires)

    def stop(self):
        self.popen.stdin.close()
        self.popen.wait()
