#!/usr/bin/env python3
"""reload.py SECONDS: the configuration is swapped as often as it goes, under load; no request may fail."""

import sys
import time

import common


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with common.shop() as shop:
        load = common.Load(shop, common.tokens_file(shop, 2000, seconds), seconds)
        reloads = 0
        while load.running():
            shop.gateway.config["actions"]["extra%d" % (reloads % 7)] = {
                "match": "GET /extra/%d" % reloads, "to": "app", "public": True}
            shop.gateway.write_config()
            code, out, err = shop.gateway.reload()
            if code != 0:
                raise SystemExit("not ok reload %d: exit %d: %s%s" % (reloads, code, out, err))
            reloads += 1
            if reloads % 10 == 0:  # a wrong one is refused and changes nothing
                shop.gateway.write_config("sallyport: 1\nnonsense: true\n")
                if shop.gateway.reload()[0] == 0:
                    raise SystemExit("not ok a wrong configuration was taken")
            time.sleep(0.05)
        result = load.result()
        why = common.wrong(result)
        if why:
            raise SystemExit("not ok reload under load: " + why)
        print("ok reload under load: %d reloads, %d requests, none lost" % (reloads, result["requests"]))


main()
