// The page: what is shown, and what its buttons do. Everything about tokens is in session.js.
import { Problem, Session, claims } from './session.js';

const CALLS = [
  ['GET', '/business/myclass/myoperation', 'Run MyClass.MyOperation()'],
  ['GET', '/orders/7', 'Show order 7'],
  ['POST', '/orders/1/pay', 'Pay order 1'],
];

const $ = (id) => document.getElementById(id);
let session;
let renewed = 0;
let known = false; // whether this tab had a token before

/** An element with text in it, never markup: nothing that comes from outside can become a part of the page. */
function element(tag, text, more = {}) {
  return Object.assign(document.createElement(tag), { textContent: text }, more);
}

function list(dl, rows) {
  dl.replaceChildren(...rows.flatMap(([name, value]) => [element('dt', name), element('dd', value)]));
}

function say(text, kind = '') {
  $('message').hidden = !text;
  $('message').textContent = text;
  $('message').className = kind;
}

function show(why) {
  const inside = session.access !== null;
  $('inside').hidden = $('who').hidden = !inside;
  $('outside').hidden = inside;
  if (!inside) {
    $('answer').hidden = true;
    $('forge').checked = false;
    $('claims').replaceChildren();
    $('sessions').replaceChildren();
    $('name').textContent = '';
    if (why === 'logout') say('You are logged out, in every tab.');
    if (why === 'ended') say('Your session has ended. Log in again.', 'bad');
    return;
  }
  const c = claims(session.access.token);
  $('name').textContent = c.sub;
  list($('claims'), [
    ['user', c.sub], ['product', c.product], ['roles', (c.roles ?? []).join(', ') || 'none'], ['issuer', c.iss],
    ['signed', `${c.header.alg}, key ${c.header.kid}`], ['session', c.sid ?? ''],
  ].filter(([, value]) => value));
  tick();
}

function tick() {
  const a = session.access;
  if (!a) return;
  const { iat, exp } = claims(a.token);
  const left = Math.max(0, Math.round((a.expires - Date.now()) / 1000));
  $('bar').style.setProperty('width', `${Math.min(100, (left / Math.max(1, exp - iat)) * 100)}%`);
  const times = renewed === 1 ? 'once' : `${renewed} times`;
  $('left').textContent = `${left} s left; renewed ${renewed ? times : 'not yet'} since this tab was opened`;
}

function changed(why) {
  if (known && session.access) renewed++;
  if (!known) say('');
  known = session.access !== null;
  if (!known) renewed = 0;
  show(why);
  if (session.access && why !== 'refreshed') sessions().catch(() => {});
}

function told(problem) {
  if (!(problem instanceof Problem)) return 'The gateway cannot be reached.';
  if (problem.code === 'login_failed') return 'This name and password do not belong together.';
  if (problem.retryAfter) return `Too many at once. Try again in ${problem.retryAfter} s.`;
  return `Refused: ${problem.code || problem.message}`;
}

async function call(method, path) {
  const headers = $('forge').checked ? { 'X-User-ID': 'root', 'X-User-Roles': 'admin' } : {};
  const response = await session.fetch(path, { method, headers });
  const text = await response.text();
  let body = {};
  try {
    body = JSON.parse(text);
  } catch { /* not ours: shown as it is */ }
  $('answer').hidden = false;
  $('asked').textContent = `${method} ${path}`;
  $('status').textContent = response.status;
  $('status').className = response.ok ? 'good' : 'bad';
  $('explain').hidden = !body.decision_id;
  $('explain').replaceChildren(`refused: ${body.code}. An operator is told why by `,
    element('code', `sallyport why ${body.decision_id}`));
  $('saw').hidden = !body.caller;
  list($('caller'), Object.entries(body.caller ?? {}).map(([name, value]) => [name.replaceAll('_', ' '), String(value ?? 'none')]));
  delete body.caller;
  $('body').textContent = Object.keys(body).length ? JSON.stringify(body, null, 2) : text;
}

async function sessions() {
  const response = await session.fetch('/authentication/sessions');
  if (!response.ok) return;
  const time = (value) => (value === undefined ? '' : new Date(value).toLocaleTimeString());
  $('sessions').replaceChildren(...(await response.json()).sessions.map((s) => {
    const row = document.createElement('tr');
    row.append(element('td', s.product), element('td', s.client ?? ''), element('td', time(s.created)),
      element('td', time(s.used)));
    const last = document.createElement('td');
    if (s.current) {
      last.append('this one');
    } else {
      last.append(element('button', 'End', {
        type: 'button',
        onclick: async () => {
          await session.fetch(`/authentication/sessions/${encodeURIComponent(s.id)}`, { method: 'DELETE' });
          await sessions();
        },
      }));
    }
    row.append(last);
    return row;
  }));
}

/** A button's work; what goes wrong is told, and it cannot be pressed twice meanwhile. */
async function work(button, job) {
  button.disabled = true;
  try {
    await job();
  } catch (problem) {
    say(told(problem), 'bad');
  } finally {
    button.disabled = false;
  }
}

$('login').addEventListener('submit', (event) => {
  event.preventDefault();
  const form = event.target;
  const { username, password } = form.elements;
  work(form.querySelector('button'), async () => {
    await session.login(username.value, password.value);
    form.reset();
  }).finally(() => { password.value = ''; });
});
$('logout').addEventListener('click', () => work($('logout'), () => session.logout()));
for (const [method, path, title] of CALLS) {
  const button = element('button', title, { type: 'button', title: `${method} ${path}` });
  button.addEventListener('click', () => work(button, () => call(method, path)));
  $('calls').append(button);
}

const settings = await (await fetch('settings.json', { cache: 'no-store' })).json();
session = new Session(settings.apikey, changed);
if (!await session.resume().catch((problem) => say(told(problem), 'bad'))) show('');
setInterval(tick, 1000);
