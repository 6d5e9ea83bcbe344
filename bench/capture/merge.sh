#!/bin/sh
# merge.sh CAPTURES OUT [BYTES]: joins the Ethernet captures below the folder CAPTURES, in the order of their names, and repeats
# them until OUT, a classic pcap, has BYTES (1.1 GB). Repetitions follow one another, as mergecap -a joins them; with ORDER=time
# packets are in the order of their times, as mergecap joins files by itself: every packet comes with all its repetitions at once.
set -eu
dir=$1 out=$2 size=${3:-1100000000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$dir" -type f \( -name '*.pcap' -o -name '*.pcapng' -o -name '*.cap' \) | LC_ALL=C sort | while read -r f; do
	if capinfos -E -T -r -m "$f" 2>/dev/null | grep -q ',ether$'; then echo "$f"; fi
done >"$work/list"
# Some files are cut short on purpose: editcap keeps what can be read of them.
n=0
while read -r f; do
	n=$((n + 1))
	editcap -F pcap -s 65535 "$f" "$work/$(printf %05d $n).pcap" 2>/dev/null || true
done <"$work/list"
mergecap -a -F pcap -s 65535 -w "$work/once" "$work"/*.pcap 2>/dev/null
once=$(stat -c %s "$work/once")
if [ "${ORDER:-}" = time ]; then
	mergecap -F pcap -s 65535 -w "$work/sorted" "$work"/0*.pcap 2>/dev/null
	mergecap -F pcap -s 65535 -w "$out" $(yes "$work/sorted" | head -n $((size / once + 1)))
	exit
fi
head -c 24 "$work/once" >"$out"
i=0
while [ "$i" -lt $((size / once + 1)) ]; do
	tail -c +25 "$work/once" >>"$out"
	i=$((i + 1))
done
