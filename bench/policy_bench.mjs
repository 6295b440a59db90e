// The figures of policy_bench beside those of @cedar-policy/cedar-wasm, same policies, entities and requests, one
// after the other on one core. `node bench/policy_bench.mjs POLICY_BENCH`
//
// What cedar-wasm pays for besides the language: it is WebAssembly, the request and all entities cross into it as
// JavaScript objects at each call, and policies are looked through one by one. Its policies are parsed beforehand;
// it is given only the three entities a request needs.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
const cedar = createRequire(new URL('../test/node/', import.meta.url))('@cedar-policy/cedar-wasm/nodejs');

const binary = process.argv[2];
if (!binary) {
  console.error('usage: node policy_bench.mjs POLICY_BENCH');
  process.exit(2);
}
const run = (...args) => execFileSync(binary, args, { maxBuffer: 1 << 28 }).toString();
console.log(run().trimEnd());
for (const n of [1, 10, 100, 1000, 10000]) {
  const staticPolicies = run('--emit', String(n));
  const world = JSON.parse(run('--emit-entities', String(n)));
  const byId = new Map(world.map((e) => [`${e.uid.type}::${e.uid.id}`, e]));
  const parsed = cedar.preparsePolicySet(`set${n}`, { staticPolicies });
  if (parsed.type !== 'success') throw new Error(JSON.stringify(parsed));
  const calls = [];
  for (let i = 0; i < 100; i++) {
    const user = byId.get(`User::user-${i}`), order = byId.get(`Order::order-${(i * 31) % 1000}`);
    const roles = user.parents.map((uid) => ({ uid, attrs: {}, parents: [] }));
    const entities = [user, order, ...new Map(roles.map((r) => [r.uid.id, r])).values()];
    calls.push({ principal: user.uid, action: { type: 'Action', id: `a${(i % n) % 20}` }, resource: order.uid, context: { hour: 12 }, preparsedPolicySetId: `set${n}`, entities });
  }
  let count = 0, allowed = 0;
  const begin = process.cpuUsage();
  const end = Date.now() + 1000;
  do {
    const answer = cedar.statefulIsAuthorized(calls[count % calls.length]);
    if (answer.type !== 'success') throw new Error(JSON.stringify(answer));
    allowed += answer.response.decision === 'allow';
    count++;
  } while (Date.now() < end);
  const used = process.cpuUsage(begin);
  const seconds = (used.user + used.system) / 1e6;
  console.log(`${String(n).padStart(6)} policies: ${Math.round(count / seconds).toString().padStart(9)} decisions/s with cedar-wasm ${cedar.getCedarVersion()}, ${Math.round((allowed * 100) / count)} % allowed`);
}
