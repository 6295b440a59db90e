// Cedar here against @cedar-policy/cedar-wasm: random policy sets, entities, requests and schemas, well formed and
// broken; every answer must be the same. `node cedar_differential.mjs SALLYPORT [SECONDS] [SEED]`
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs');

const [binary, seconds = '20', seedText = `${Date.now() % 1e9}`] = process.argv.slice(2);
if (!binary) {
  console.error('usage: node cedar_differential.mjs SALLYPORT [SECONDS] [SEED]');
  process.exit(2);
}
let state = Number(seedText) >>> 0 || 1;
const random = (n) => {
  state ^= state << 13; state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5; state >>>= 0;
  return state % n;
};
const pick = (list) => list[random(list.length)];
const chance = (percent) => random(100) < percent;
const several = (max, make) => Array.from({ length: random(max + 1) }, make);

// ---- our side: one process, one line a task ----
const child = spawn(binary, ['policy', 'eval', '--batch'], { stdio: ['pipe', 'pipe', 'inherit'] });
const waiting = [];
let gone = false;
child.on('exit', (code, signal) => {
  gone = true;
  for (const w of waiting.splice(0)) w({ crashed: `${code ?? signal}` });
});
child.stdin.on('error', () => {});
createInterface({ input: child.stdout }).on('line', (line) => {
  try { waiting.shift()(JSON.parse(line)); } catch { throw new Error(`not JSON: ${line.slice(0, 300)}`); }
});
const ours = (task) => new Promise((done) => {
  if (gone) return done({ crashed: 'before' });
  waiting.push(done);
  child.stdin.write(JSON.stringify(task) + '\n');
});

// ---- what is generated ----
const schemaText = `
type Address = { street: String, zip?: Long };
entity Group in [Group] = { name: String };
entity User in [Group] = { age: Long, name: String, address?: Address, friends: Set<User>, manager?: User, ip?: ipaddr, score?: decimal, born?: datetime, admin: Bool } tags Set<String>;
entity Album in [Album] = { owner: User, public: Bool } tags Long;
entity Photo in [Album] = { owner: User, labels: Set<String>, size: Long, meta: { a?: Long, b: { c?: String } } };
entity Color enum ["red", "green"];
action read;
action view, edit in [read] appliesTo { principal: [User], resource: [Photo, Album], context: { ip: ipaddr, hour: Long, note?: String, tags?: Set<String>, who?: User, when?: datetime } };
action paint appliesTo { principal: [User, Group], resource: [Color], context: {} };
namespace App { entity Person; entity Thing in [App::Thing] = { user: Person, other?: Thing, tag?: __cedar::String }; action peek, "do it" appliesTo { principal: [Person, User], resource: [Thing], context: { n: Long } }; }
`;
const types = ['User', 'Group', 'Album', 'Photo', 'Color', 'App::Person', 'App::Thing', 'Nope'];
const ids = ['a', 'b', 'c', 'red', '', 'x"y', 'ü', 'a\\b'];
const attributes = ['age', 'name', 'address', 'friends', 'manager', 'ip', 'score', 'born', 'admin', 'owner', 'public', 'labels', 'size', 'meta', 'a', 'b', 'c', 'street', 'zip', 'hour', 'note', 'tags', 'who', 'when', 'user', 'other', 'n', 'a b', 'if'];
const actions = ['Action::"view"', 'Action::"edit"', 'Action::"read"', 'Action::"paint"', 'App::Action::"peek"', 'App::Action::"do it"', 'Action::"none"'];
const quote = (s) => '"' + s.replace(/[\\"]/g, (c) => '\\' + c) + '"';
const uidOf = (text) => { const i = text.indexOf('::"'); return { type: text.slice(0, i), id: JSON.parse(text.slice(i + 2)) }; };
const uid = () => `${pick(types)}::${quote(pick(ids))}`;
const number = () => pick(['0', '1', '-1', '7', '42', '9223372036854775807', '-9223372036854775808', '4611686018427387904', '-3', '9007199254740993']);
const string = () => pick(['"a"', '"b"', '""', '"a*b"', '"\\u{1F600}"', '"x\\n\\t\\0"', '"\\x41"', '"red"', '"é"']);
const dates = ['2024-10-15', '2024-10-15T11:35:00Z', '2024-02-30', '2024-02-29T23:59:59.999+0130', '0000-01-01', '9999-12-31T24:00:00Z', '2024-10-15T11:35:00-2359', '1969-12-31T23:59:59.001Z', '2024-1-1', '2024-10-15T11:35:00.12Z', '2024-10-15T11:60:00Z'];
const durations = ['1d', '-1d2h3m4s5ms', '0ms', '5m1s', '1s1s', '', '-', '9223372036854775807ms', '-9223372036854775808ms', '9223372036854775808ms', '1ms1s', '106751991167d', '106751991168d', '12h ', '1D'];
const ips = ['1.2.3.4', '10.0.0.0/8', '10.1.0.0/16', '::1', '::', 'ff00::/8', '127.0.0.1/8', '01.2.3.4', '1.2.3.4/33', '1.2.3.4/08', '::ffff:1.2.3.4', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8:9', '1::2::3', 'abcd:ef01::/64', '224.0.0.1', '1:2:3:4:5:6:7::', '::/0', '0.0.0.0/0'];
const decimals = ['1.0', '-0.5', '922337203685477.5807', '922337203685477.5808', '-922337203685477.5808', '1', '.5', '1.', '1.23456', '0.0001', '-0.0', '00.10'];
const like = () => pick(['"a*"', '"*"', '"*a*b*"', '"a\\*b"', '""', '"**"', '"*é"', '"a"']);
const attr = () => (chance(90) ? `.${pick(attributes.slice(0, -2))}` : `[${quote(pick(attributes))}]`);

function term(depth) {
  switch (random(depth > 0 ? 16 : 8)) {
    case 0: return 'principal';
    case 1: return pick(['resource', 'action']);
    case 2: return `context${chance(80) ? attr() : ''}`;
    case 3: return number();
    case 4: return string();
    case 5: return pick(['true', 'false']);
    case 6: return chance(70) ? uid() : pick(actions);
    case 7: return pick([() => `ip(${quote(pick(ips))})`, () => `decimal(${quote(pick(decimals))})`, () => `datetime(${quote(pick(dates))})`, () => `duration(${quote(pick(durations))})`])();
    case 8: case 9: case 10: return `${pick(['principal', 'resource', 'context'])}${attr()}${chance(30) ? attr() : ''}`;
    case 11: return `[${several(3, () => expr(depth - 1)).join(', ')}]`;
    case 12: return `{${[...new Set(several(3, () => pick(['a', 'b', '"a b"', 'principal'])))].map((k) => `${k}: ${expr(depth - 1)}`).join(', ')}}`;
    case 13: return `${pick(['ip', 'decimal', 'datetime', 'duration'])}(${several(2, () => expr(depth - 1)).join(', ')})`;
    default: return `(${expr(depth - 1)})`;
  }
}
const wrap = (s) => (/^[\w.:"\[\]()]*$/.test(s) && !/^-/.test(s) ? s : `(${s})`);
function expr(depth) {
  if (depth <= 0) return term(0);
  const a = () => wrap(expr(depth - 1));
  switch (random(24)) {
    case 0: case 1: case 2: return `${a()} && ${a()}`;
    case 3: case 4: return `${a()} || ${a()}`;
    case 5: return `if ${expr(depth - 1)} then ${expr(depth - 1)} else ${expr(depth - 1)}`;
    case 6: case 7: return `${a()} ${pick(['==', '!='])} ${a()}`;
    case 8: return `${a()} ${pick(['<', '<=', '>', '>='])} ${a()}`;
    case 9: return `${a()} ${pick(['+', '-', '*'])} ${a()}`;
    case 10: return `${a()} in ${chance(50) ? uid() : a()}`;
    case 11: return `${a()} has ${chance(60) ? pick(attributes.slice(0, -2)) + (chance(40) ? '.' + pick(attributes.slice(0, -2)) : '') : quote(pick(attributes))}`;
    case 12: return `${a()} like ${like()}`;
    case 13: return `${a()} is ${pick(types)}${chance(30) ? ` in ${a()}` : ''}`;
    case 14: return `${a()}.${pick(['contains', 'containsAll', 'containsAny'])}(${expr(depth - 1)})`;
    case 15: return `${a()}.isEmpty()`;
    case 16: return `${a()}.${pick(['hasTag', 'getTag'])}(${expr(depth - 1)})`;
    case 17: return `${a()}.${pick(['isIpv4', 'isIpv6', 'isLoopback', 'isMulticast', 'toDate', 'toTime', 'toMilliseconds', 'toSeconds', 'toMinutes', 'toHours', 'toDays'])}()`;
    case 18: return `${a()}.${pick(['isInRange', 'lessThan', 'lessThanOrEqual', 'greaterThan', 'greaterThanOrEqual', 'offset', 'durationSince'])}(${expr(depth - 1)})`;
    case 19: return `${pick(['!', '!!', '-', '--'])}${wrap(term(depth - 1))}`;
    default: return term(depth);
  }
}
// Expressions that mean something more often than not: the validator's yes is as interesting as its no.
function sensible(depth) {
  const t = () => sensible(depth - 1);
  if (depth > 0) switch (random(8)) {
    case 0: case 1: return `(${t()} && ${t()})`;
    case 2: return `(${t()} || ${t()})`;
    case 3: return `!(${t()})`;
    case 4: return `(if ${t()} then ${t()} else ${t()})`;
    case 5: return `(principal has address && principal.address has zip && principal.address.zip > ${number()})`;
  }
  return pick([
    'principal.age > 17', 'resource.size < context.hour', 'resource.owner == principal', 'principal in Group::"a"', 'context.hour >= 8',
    'context.ip.isInRange(ip("10.0.0.0/8"))', 'resource.labels.contains("a")', 'principal.friends.contains(resource.owner)', 'resource has labels',
    'principal has address.zip', 'principal has manager && principal.manager.admin', 'resource is Photo', 'resource is Photo in Album::"a"', 'action == Action::"view"',
    'action in Action::"read"', 'action in [Action::"view", Action::"edit"]', 'principal.name like "a*"', 'principal.hasTag("x") && principal.getTag("x").contains("y")',
    'resource.hasTag("n") && resource.getTag("n") == 3', 'context has note && context.note == principal.name', 'principal.age + 1 > principal.age', '{a: principal.age} == {a: 3}',
    'principal has score && principal.score.lessThan(decimal("1.5"))', 'context has when && context.when < datetime("2024-10-15")', 'context has when && context.when.offset(duration("1h")) > context.when.toDate()',
    'resource.meta has a && resource.meta.a == 1', 'resource.meta.b has c', 'resource == Color::"red"', 'resource == Color::"blue"', 'true', 'false', 'principal.nope', 'principal == resource',
    '[principal.age, 3].contains(4)', '[].isEmpty()', 'principal.friends.isEmpty()', '["a", 1].contains("a")', 'resource.user == principal', 'context.n > 0', 'resource has other.other.user',
    'if principal has manager then principal.manager.age > 3 else false', 'if resource has other then resource.other.user == principal else true', 'ip(principal.name).isIpv4()', 'principal.age == "a"',
  ]);
}
const policies = [];
function scope(variable, slots) {
  const what = variable === 'principal' ? ['User::"a"', 'Group::"a"', 'User::"b"', 'App::Person::"a"', uid()] : ['Photo::"a"', 'Album::"a"', 'Color::"red"', 'App::Thing::"a"', uid()];
  const target = slots && chance(60) ? `?${variable}` : pick(what);
  switch (random(6)) {
    case 0: return `${variable} == ${target}`;
    case 1: return `${variable} in ${target}`;
    case 2: return `${variable} is ${pick(types)}`;
    case 3: return `${variable} is ${pick(types)} in ${target}`;
    default: return variable;
  }
}
function action() {
  switch (random(5)) {
    case 0: return `action == ${pick(actions)}`;
    case 1: return `action in ${pick(actions)}`;
    case 2: return `action in [${several(3, () => pick(actions)).join(', ')}]`;
    default: return 'action';
  }
}
function policy(slots, meaningful) {
  const notes = chance(20) ? `@${pick(['id', 'note', 'if'])}${chance(80) ? `(${string()})` : ''}\n` : '';
  const body = () => (meaningful ? sensible(random(4)) : expr(random(5)));
  const conditions = several(2, () => ` ${pick(['when', 'unless'])} { ${body()} }`).join('');
  const comment = chance(10) ? ' // why not\n' : '';
  return `${notes}${pick(['permit', 'permit', 'forbid'])}(${scope('principal', slots)}, ${action()}, ${scope('resource', slots)})${comment}${conditions};`;
}
function entityValue(depth) {
  switch (random(depth > 0 ? 8 : 6)) {
    case 0: return pick([0, 1, -1, 42]);
    case 1: return pick(['a', 'b', '', 'red']);
    case 2: return chance(50);
    case 3: return { __entity: { type: pick(types.slice(0, -1)), id: pick(ids) } };
    case 4: return { __extn: pick([{ fn: 'ip', arg: '10.1.2.3' }, { fn: 'decimal', arg: '1.25' }, { fn: 'datetime', arg: '2024-10-15' }, { fn: 'duration', arg: '1h' }]) };
    case 5: return pick([7, 'x']);
    case 6: return several(3, () => entityValue(depth - 1));
    default: return Object.fromEntries(several(3, () => [pick(['a', 'b', 'c', 'zip', 'street']), entityValue(depth - 1)]));
  }
}
function entities() {
  const seen = new Set();
  const list = [];
  for (const type of types.slice(0, -1)) for (const id of ids.slice(0, 3)) {
    if (chance(40)) continue;
    seen.add(type + id);
    const parents = several(2, () => ({ type: pick(['Group', 'Album', 'App::Thing']), id: pick(['p', 'q']) }));
    list.push({ uid: { type, id }, attrs: Object.fromEntries(several(6, () => [pick(attributes), entityValue(2)])), parents, tags: Object.fromEntries(several(2, () => [pick(['x', 'y', 'n']), entityValue(1)])) });
  }
  for (const type of ['Group', 'Album', 'App::Thing']) list.push({ uid: { type, id: 'p' }, attrs: {}, parents: [{ type, id: 'q' }] }, { uid: { type, id: 'q' }, attrs: {}, parents: chance(50) ? [{ type, id: 'a' }] : [] });
  // 'a' may sit in p already: then the cycle would be ours, not the language's
  const cyclic = list.some((e) => e.uid.id === 'q' && e.parents.length) && list.some((e) => e.uid.id === 'a' && e.parents.some((p) => p.type === e.uid.type));
  return cyclic ? entities() : list;
}
function mutate(text) {
  const tokens = ['(', ')', '{', '}', '[', ']', ',', ';', '.', '::', '==', '=', 'in', 'is', 'has', 'like', 'if', 'then', 'else', '!', '-', '"a"', '?principal', '?resource', '@x', 'when', 'unless', '1', 'principal', '\\', '"', '/', '%', '<', '//', '\u00a0', 'true', '__cedar', '9223372036854775808', '&&', '|', '\u{1F600}'];
  // by characters: half a surrogate pair is no text
  const all = [...text], at = random(all.length + 1), head = all.slice(0, at).join(''), tail = all.slice(at).join('');
  switch (random(4)) {
    case 0: return head + all.slice(at + 1 + random(4)).join('');
    case 1: return `${head} ${pick(tokens)} ${tail}`;
    case 2: return head + pick(tokens) + tail;
    default: return head;
  }
}

if (cedar.checkParseSchema(schemaText).type !== 'success') throw new Error(JSON.stringify(cedar.checkParseSchema(schemaText)));

// ---- comparing ----
let found = 0;
const counts = {};
const sorted = (list) => [...list].sort();
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
// Objects by key, literals of patterns joined: two ways to write one JSON are one.
function canon(v) {
  if (Array.isArray(v)) return v.map(canon);
  if (!v || typeof v !== 'object') return v;
  const out = {};
  for (const k of Object.keys(v).sort()) out[k] = canon(v[k]);
  if (out.like?.pattern) {
    const joined = [];
    for (const p of out.like.pattern) {
      const last = joined[joined.length - 1];
      if (p.Literal !== undefined && last?.Literal !== undefined) last.Literal += p.Literal;
      else joined.push(p === 'Wildcard' ? p : { ...p });
    }
    out.like.pattern = joined;
  }
  if (out.__entity && !out.type) return { __entity: canon(out.__entity) };
  return out;
}
function report(kind, task, us, them) {
  found++;
  if (found > 10) return;
  console.log(`DIFFERENT ${kind}\n  task ${JSON.stringify(task)}\n  ours ${JSON.stringify(us).slice(0, 1500)}\n  cedar ${JSON.stringify(them).slice(0, 1500)}`);
}
const uidJson = (text) => ({ type: uidOf(text).type, id: uidOf(text).id });
const safeUid = () => ({ type: pick(types), id: pick(ids) });

async function authorize() {
  const text = Array.from({ length: 1 + random(6) }, () => policy(false, chance(40))).join('\n');
  const list = entities();
  const request = { principal: chance(80) ? { type: pick(['User', 'Group', 'App::Person']), id: pick(ids) } : safeUid(), action: uidJson(pick(actions)), resource: chance(80) ? { type: pick(['Photo', 'Album', 'App::Thing', 'Color']), id: pick(ids) } : safeUid() };
  const context = Object.fromEntries(several(5, () => [pick(attributes), entityValue(2)]));
  const them = cedar.isAuthorized({ ...request, context, policies: { staticPolicies: text }, entities: list });
  const us = await ours({ op: 'authorize', policies: text, entities: JSON.stringify(list), context: JSON.stringify(context), ...request });
  const a = us.decision ? { d: us.decision, r: sorted(us.reasons), e: sorted(us.errors) } : { failed: true };
  const b = them.type === 'success' ? { d: them.response.decision, r: sorted(them.response.diagnostics.reason), e: sorted(them.response.diagnostics.errors.map((e) => e.policyId)) } : { failed: true };
  if (!same(a, b)) report('authorize', { text, list, request, context }, us, them);
  return a.failed ? 'authorize refused' : `authorize ${a.d}${a.e.length ? ' with errors' : ''}`;
}
async function links() {
  const template = policy(true, true);
  const staticPolicies = { s1: policy(false, true) };
  const values = {};
  if (template.includes('?principal')) values['?principal'] = { type: 'User', id: pick(['a', 'b']) };
  if (template.includes('?resource')) values['?resource'] = { type: pick(['Photo', 'Album', 'Nope']), id: 'a' };
  if (chance(10)) values[pick(['?principal', '?resource'])] = { type: 'User', id: 'z' };
  const set = { staticPolicies, templates: { t1: template }, templateLinks: [{ templateId: 't1', newId: pick(['l1', 'l1', 'l1', 's1']), values }] };
  const list = entities();
  const request = { principal: { type: 'User', id: pick(['a', 'b']) }, action: uidJson(pick(actions)), resource: { type: pick(['Photo', 'Album']), id: 'a' } };
  const them = cedar.isAuthorized({ ...request, context: {}, policies: set, entities: list });
  const us = await ours({ op: 'authorize', policies: JSON.stringify(set), entities: JSON.stringify(list), context: '{}', ...request });
  const a = us.decision ? { d: us.decision, r: sorted(us.reasons), e: sorted(us.errors) } : { failed: true };
  const b = them.type === 'success' ? { d: them.response.decision, r: sorted(them.response.diagnostics.reason), e: sorted(them.response.diagnostics.errors.map((e) => e.policyId)) } : { failed: true };
  if (!same(a, b)) report('links', { set, list, request }, us, them);
  const valid = cedar.validate({ schema: schemaText, policies: set });
  const mine = await ours({ op: 'validate', policies: JSON.stringify(set), schema: schemaText });
  const va = mine.valid ?? 'failed', vb = valid.type === 'success' ? valid.validationErrors.length === 0 : 'failed';
  if (va !== vb) report('validate links', { set }, mine, valid);
  return a.failed ? 'links refused' : 'links';
}
async function validate() {
  const text = policy(false, chance(80));
  const them = cedar.validate({ schema: schemaText, policies: { staticPolicies: text } });
  const us = await ours({ op: 'validate', policies: text, schema: schemaText });
  const a = us.valid ?? 'failed', b = them.type === 'success' ? them.validationErrors.length === 0 : 'failed';
  if (a !== b) report('validate', { text }, us, them);
  return `validate ${a}`;
}
async function syntax() {
  let text = policy(chance(20), chance(50));
  for (let i = random(2); i >= 0; i--) text = mutate(text);
  const them = cedar.checkParsePolicySet({ staticPolicies: text });
  const parts = them.type === 'success' ? them : cedar.policySetTextToParts(text);
  const us = await ours({ op: 'text', policies: text });
  const a = !us.error, b = parts.type === 'success';
  if (a !== b) report('syntax', { text }, us, parts);
  return a ? 'syntax accepted' : 'syntax refused';
}
async function json() {
  const template = chance(20);
  // JavaScript's numbers end at 2^53: what lies beyond is for the other kinds
  const text = policy(template, chance(50)).replace(/\d{16,}/g, '77');
  const isTemplate = /\?(principal|resource)/.test(text.split(')')[0] + text);
  const them = isTemplate ? cedar.templateToJson(text) : cedar.policyToJson(text);
  const us = await ours({ op: 'json', policies: text });
  if ((them.type === 'success') !== !us.error) return report('json', { text }, us, them), 'json';
  if (us.error) return 'json refused';
  const mine = canon(us.staticPolicies.policy0 ?? us.templates.policy0);
  if (!same(mine, canon(them.json))) return report('json', { text }, mine, canon(them.json)), 'json';
  // their JSON read by us and written as text, read by them again
  const back = await ours({ op: 'text', policies: JSON.stringify(them.json) });
  const again = back.error ? null : isTemplate ? cedar.templateToJson(Object.values(back.templates)[0]) : cedar.policyToJson(Object.values(back.policies)[0]);
  if (back.error || again.type !== 'success' || !same(canon(again.json), canon(them.json))) report('json to text', { text, json: them.json }, back, again);
  return 'json';
}
async function format() {
  const text = several(3, () => (chance(15) ? '// note\n' : '') + policy(false, chance(50))).join(pick(['\n', ' ', '\n\n\n']));
  const us = await ours({ op: 'format', policies: text });
  const them = cedar.policySetTextToParts(text);
  if ((them.type === 'success') !== !us.error) return report('format', { text }, us, them), 'format';
  if (us.error) return 'format refused';
  const again = await ours({ op: 'format', policies: us.text });
  if (again.text !== us.text) report('format twice', { text }, us, again);
  const bodies = (t) => cedar.policySetTextToParts(t).policies.map((p) => canon(cedar.policyToJson(p).json));
  if (!same(bodies(us.text), bodies(text))) report('format changed', { text }, us, null);
  return 'format';
}
async function partial() {
  const text = Array.from({ length: 1 + random(4) }, () => policy(false, chance(60))).join('\n');
  const list = entities();
  const full = { principal: { type: 'User', id: pick(['a', 'b']) }, action: uidJson(pick(actions)), resource: { type: pick(['Photo', 'Album']), id: pick(['a', 'b']) } };
  const known = { principal: chance(60) ? full.principal : null, action: chance(80) ? full.action : null, resource: chance(40) ? full.resource : null };
  const context = Object.fromEntries(several(4, () => [pick(attributes), entityValue(1)]));
  const them = cedar.isAuthorizedPartial({ ...known, context, policies: { staticPolicies: text }, entities: list });
  const us = await ours({ op: 'partial', policies: text, entities: JSON.stringify(list), context: JSON.stringify(context), ...known });
  if (them.type !== 'residuals' || us.error) {
    if ((them.type === 'residuals') === !!us.error) report('partial', { text, list, known, context }, us, them);
    return 'partial refused';
  }
  // What the other side decides, we decide the same; we may know more, never less.
  const r = them.response;
  if (r.decision && r.decision !== us.decision) report('partial decision', { text, list, known, context }, us, r);
  for (const id of r.satisfied) if (!us.satisfied.includes(id)) report('partial satisfied', { text, list, known, context }, us, r);
  for (const id of r.errored) if (!us.errored.includes(id)) report('partial errored', { text, list, known, context }, us, r);
  for (const id of us.may) if (!r.mayBeDetermining.includes(id)) report('partial may', { text, list, known, context }, us, r);
  for (const id of r.mustBeDetermining) if (!us.must.includes(id)) report('partial must', { text, list, known, context }, us, r);
  // With all known, each residual must say what the policy itself says.
  const whole = cedar.isAuthorized({ ...full, context, policies: { staticPolicies: text }, entities: list });
  if (whole.type !== 'success') return 'partial';
  if (us.decision && us.decision !== whole.response.decision) report('partial against whole', { text, list, known, full, context }, us, whole.response);
  const rest = Object.fromEntries(Object.entries(us.residuals).map(([id, x]) => [id, x.text]));
  const after = cedar.isAuthorized({ ...full, context, policies: { staticPolicies: rest }, entities: list });
  if (after.type !== 'success') return report('residual text', { rest }, us, after), 'partial';
  const was = new Map(whole.response.diagnostics.errors.map((e) => [e.policyId, true]));
  const is = new Map(after.response.diagnostics.errors.map((e) => [e.policyId, true]));
  for (const id of Object.keys(rest)) if (was.has(id) !== is.has(id)) report('residual error', { text, list, known, full, context, id, rest: rest[id] }, whole.response, after.response);
  const one = (id, body) => cedar.isAuthorized({ ...full, context, policies: { staticPolicies: { [id]: body } }, entities: list }).response?.diagnostics.reason.length;
  for (const id of Object.keys(rest)) {
    const original = cedar.policySetTextToParts(text).policies[Number(id.slice(6))];
    if (original && one(id, original) !== one(id, rest[id])) report('residual truth', { original, known, full, context, list, rest: rest[id] }, one(id, original), one(id, rest[id]));
  }
  return us.decision ? 'partial decided' : 'partial';
}
// One of the places where the word stands gets the other.
function swap(text, word, other) {
  const places = [...text.matchAll(new RegExp(`\\b${word}\\b`, 'g'))].map((m) => m.index);
  if (!places.length) return text;
  const at = pick(places);
  return text.slice(0, at) + other + text.slice(at + word.length);
}
async function schemas() {
  let text = schemaText;
  for (let i = random(2); i >= 0; i--) text = chance(30) ? mutate(text) : swap(text, pick(['Long', 'String', 'User', 'Group', 'view', 'edit', 'read', 'Photo', 'Address', 'entity', 'App', 'Thing', 'Person', 'Color', 'Set', 'principal', 'context', 'age', 'other', 'zip']), pick(['Long', 'Set<User>', 'Nope', 'edit', 'Album', 'Thing', 'action', 'type', '"x"', 'in', 'Bool', '__cedar::Long', 'Address', 'Person', 'Action', '{}', 'Set', 'context', 'principal', 'Group', 'decimal', 'Boolean', 'Record', 'view']));
  const them = cedar.checkParseSchema(text);
  const us = await ours({ op: 'schema', schema: text });
  if ((them.type === 'success') !== !us.error) report('schema', { text }, us, them);
  if (them.type !== 'success') return 'schema refused';
  const asJson = cedar.schemaToJson(text);
  const mine = await ours({ op: 'schema', schema: JSON.stringify(asJson.json) });
  if (asJson.type === 'success' && mine.error) report('schema as JSON', { text }, mine, asJson);
  return 'schema';
}

const end = Date.now() + Number(seconds) * 1000;
const kinds = [authorize, authorize, authorize, links, validate, validate, syntax, syntax, json, format, partial, schemas];
while (Date.now() < end && !gone && found < 10) {
  const what = await pick(kinds)();
  counts[what] = (counts[what] ?? 0) + 1;
}
child.stdin.end();
console.log(`seed ${seedText}, cedar-wasm ${cedar.getCedarVersion()}`);
for (const k of Object.keys(counts).sort()) console.log(`  ${counts[k]} ${k}`);
console.log(gone ? 'our side ended' : `${found} different`);
process.exit(found || gone ? 1 : 0);
