#!/usr/bin/env python3
"""Fifteen thousand clients that send a head a byte at a time (or as many as an argument says), for half a minute, while
two others are served: no connection to a service is opened for any of them, and memory has a bound."""

import os
import re
import resource
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "blackbox"))
os.environ.setdefault("SALLYPORT", os.path.join(os.environ["BUILD"], "sallyport"))
import chaos  # noqa: E402
import port  # noqa: E402
from bystander import serving  # noqa: E402


def memory_kb(pid):
    with open("/proc/%d/smaps_rollup" % pid) as lines:
        return int(re.search(r"(?m)^Pss:\s+(\d+)", lines.read())[1])


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 15000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < n + 2000:
        sys.exit("slow_clients: %d descriptors at most (ulimit -Hn), %d are needed" % (hard, n + 2000))
    with chaos.world() as w:
        pid = serving(w.gateway.pid)
        before = memory_kb(pid)
        gauge, opened = chaos.slow_clients(w, n, seconds)
        after = memory_kb(pid)
        mine, others = chaos.rows[-1][1:]
        print("slow clients: %d connected, %d connections to services for all of that; PSS %d -> %d kB" % (
            gauge, opened, before, after))
        for who, was in (("a caller of their service", mine), ("a bystander", others)):
            print("%s: %d asked, %d wrong, p50 %.1f ms, p99 %.1f ms" % (who, was["n"], was["wrong"], was["p50"], was["p99"]))
        if gauge < n or opened > 8 or others["wrong"] or mine["wrong"]:
            sys.exit("slow clients: not what it should be")


try:
    main()
except (port.Failure, port.Skip) as why:
    sys.exit("slow clients: %s" % why)
