# bench: measure against HAProxy, nginx and the bare relay, and write bench/RESULTS.md (./do bench quick: a short look)
# shellcheck shell=bash disable=SC2086
need $PKG_BUILD $PKG_BENCH
[ "$(nproc)" -ge 2 ] || die "two cores are needed: one for the proxy, one for the load"
build_product
export BUILD=$PWD/build BENCH_DATA=$PWD/build-bench/data BENCH_TOKENS=${BENCH_TOKENS:-200000}
ulimit -n "$(ulimit -Hn)"
[ -f "$BENCH_DATA/made" ] || say "making $BENCH_TOKENS tokens of three kinds (once, some minutes)"
python3 bench/gen.py "$BENCH_DATA" "$BENCH_TOKENS"
exec python3 bench/bench.py "$@"
