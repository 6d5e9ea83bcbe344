#!/bin/sh
# compare.sh CAPTURE [PAIRS]: packets a second of minewarden replay, with every detector on, and of ndpiReader, on one processor,
# in turns (5). Processor time is what counts, so that others on the machine do not; the time waited is shown beside it.
set -eu
capture=$(realpath "$1") pairs=${2:-5}
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bin=${MINEWARDEN:-$work/minewarden} # a program built before may be named
test -n "${MINEWARDEN:-}" || go build -trimpath -ldflags '-s -w' -o "$bin" ./cmd/minewarden
packets=$(capinfos -c -M -T -r "$capture" | cut -f2)
measure() { # NAME COMMAND…
	name=$1
	shift
	/usr/bin/time -o "$work/t" -f '%U %S %e %M' taskset -c 1 "$@" >/dev/null 2>&1 || true
	tail -n 1 "$work/t" | awk -v n="$packets" -v name="$name" '{ printf "%s\t%.2f M packets/s of processor\t%.2f M packets/s waited\t%d MiB\n", name, n/($1+$2)/1e6, n/$3/1e6, $4/1024 }'
}
for _ in $(seq "$pairs"); do
	GOMAXPROCS=1 measure minewarden "$bin" replay --json "$capture"
	measure ndpiReader ndpiReader -i "$capture" -q
done
