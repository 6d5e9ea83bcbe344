// What vitest 5 uses of Node 22, for Node 20, which Debian has: without it a failing test is not reported.
type GroupBy = <K, V>(items: Iterable<V>, key: (v: V, i: number) => K) => Map<K, V[]>;

const map = Map as unknown as { groupBy?: GroupBy };
map.groupBy ??= (items, key) => {
  const out = new Map();
  let i = 0;
  for (const v of items) {
    const k = key(v, i++);
    const group = out.get(k);
    if (group) group.push(v);
    else out.set(k, [v]);
  }
  return out;
};
