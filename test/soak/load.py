#!/usr/bin/env python3
"""load.py SECONDS: mixed load; the memory (PSS) of the gateway is sampled and must be flat: the slope of a straight line
through the samples, without the first sixth, may not be above zero by more than twice its error and 64 kB in all."""

import math
import os
import sys
import time

import common


def pss_kb(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def slope_of(points):
    """(slope, standard error) of the least-squares line through (x, y) points"""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    sxx = sum((x - mx) ** 2 for x, _ in points)
    slope = sum((x - mx) * (y - my) for x, y in points) / sxx
    rest = sum((y - my - slope * (x - mx)) ** 2 for x, y in points)
    return slope, math.sqrt(rest / (n - 2) / sxx)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with common.shop(change=lambda c: c.update(log={"access": True})) as shop:
        before = pss_kb(shop.gateway.pid)
        load = common.Load(shop, common.tokens_file(shop, 20000, seconds), seconds, conns=64)
        start, points = time.monotonic(), []
        while load.running():
            points.append((time.monotonic() - start, pss_kb(shop.gateway.pid)))
            # The access log is kept in a file that only this test would ever read.
            os.truncate(shop.gateway.process.err_path, 0)
            time.sleep(min(5, seconds / 60))
        result = load.result()
        why = common.wrong(result)
        kept = [p for p in points if p[0] > seconds / 6]
        slope, error = slope_of(kept)
        span = kept[-1][0] - kept[0][0]
        print("requests %d, answers %s" % (result["requests"], result["status"]))
        print("PSS at rest %d kB, after the first sixth %d kB, least %d, most %d, at the end %d"
              % (before, kept[0][1], min(y for _, y in kept), max(y for _, y in kept), kept[-1][1]))
        told = "slope %.2f ± %.2f kB a minute over %.0f minutes" % (slope * 60, error * 60, span / 60)
        if why:
            raise SystemExit("not ok load: " + why)
        if (slope - 2 * error) * span > 64:
            raise SystemExit("not ok memory grows: " + told)
        print("ok flat memory: %s, %d requests" % (told, result["requests"]))


main()
