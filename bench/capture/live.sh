#!/bin/sh
# live.sh CAPTURE [PPS] [SECONDS]: replays CAPTURE into a network namespace of its own at PPS packets a second (300000) on one
# processor while the sensor listens on the other, and says what came and what was dropped. Needs root and tcpreplay.
set -eu
capture=$1 pps=${2:-300000} for=${3:-10}
cd "$(dirname "$0")/../.."
bin=$(mktemp)
trap 'rm -f "$bin"' EXIT
go test -c -o "$bin" ./bench/capture
export capture pps for bin
unshare -n sh -eu -c '
	ip link add name send0 type veth peer name hear0
	ip link set send0 up
	ip link set hear0 up
	LIVE=hear0 LIVE_FOR=$((for + 4))s GOMAXPROCS=1 taskset -c 1 "$bin" -test.run Live -test.v &
	sleep 1
	taskset -c 0 tcpreplay -q -K -i send0 --pps="$pps" --loop=1000000 --duration="$for" "$capture" 2>&1 | grep -E "^Rated|^Actual" || true
	wait $!
'
