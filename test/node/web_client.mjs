#!/usr/bin/env node
// test: seconds 240
// The browser client of examples/web in Chromium, against the running product: two tabs, one renewal, one logout, and
// what a stolen refresh token comes to. PICTURE=FILE keeps a picture of the page.
import { chromium as playwright } from 'playwright-core';
import { Product, check, chromium, equal, eventually, finish, sleep, test } from './product.mjs';

const PASSWORD = 'correct horse battery staple';
const slower = Number(process.env.SLOWER ?? 1);
const life = 8 * slower; // seconds of an access token

if (!chromium()) {
  console.log('skip the browser client — Chromium is not installed');
  process.exit(0);
}

const product = await Product.start((config) => {
  config.authentication.access_token = `${life}s`;
  config.authentication.refresh_token = '1h';
});
product.addUser('alice', PASSWORD, 'clerk');
const page_url = `${product.url}/web/`;

// The sandbox of the browser refuses to be root's; for others it needs user namespaces, which a container may not give.
const browser = await playwright.launch({
  executablePath: chromium(),
  args: process.getuid() === 0 ? ['--no-sandbox'] : [],
}).catch((error) => {
  const sandbox = /sandbox/i.test(error.message);
  console.log(`${sandbox ? 'skip' : 'not ok'} the browser client — Chromium does not start: ${error.message.split('\n')[0]}`);
  process.exit(sandbox ? 0 : 1);
});

/** A browser profile of its own, what its pages complain of, and every answer they get. */
async function profile() {
  const context = await browser.newContext({ viewport: { width: 960, height: 820 } });
  const seen = { complaints: [], answers: [] };
  context.on('page', (page) => {
    page.on('pageerror', (error) => seen.complaints.push(error.message));
    page.on('console', (message) => {
      // A 401 or 403 is told on the console by the browser itself.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) seen.complaints.push(message.text());
    });
    page.on('response', (response) => seen.answers.push(`${response.status()} ${response.request().method()} ${new URL(response.url()).pathname}`));
  });
  return { context, seen };
}

async function open({ context }) {
  const page = await context.newPage();
  await page.goto(page_url);
  await page.waitForSelector('#inside:visible, #outside:visible');
  return page;
}

async function login(page, password = PASSWORD) {
  await page.fill('[name=username]', 'alice');
  await page.fill('[name=password]', password);
  await page.click('#login button');
}

const inside = (page) => page.waitForSelector('#inside:visible');
const outside = (page) => page.waitForSelector('#outside:visible');
const kept = (page) => page.evaluate(() => JSON.parse(localStorage.getItem('sallyport.session'))?.refresh_token);
const renewals = async (page) => Number((await page.textContent('#left')).match(/renewed (\d+) times/)?.[1] ??
  ((await page.textContent('#left')).includes('renewed once') ? 1 : 0));

/** What the service saw, {user, roles, …}, after that button was pressed. */
async function ask(page, title) {
  await page.evaluate(() => { document.getElementById('asked').textContent = ''; });
  await page.click(`#calls button:has-text("${title}")`);
  await page.waitForFunction(() => document.getElementById('asked').textContent !== '');
  const status = Number(await page.textContent('#status'));
  const names = await page.locator('#caller dt').allTextContents();
  const values = await page.locator('#caller dd').allTextContents();
  return { status, ...Object.fromEntries(names.map((n, i) => [n, values[i]])) };
}

const home = await profile();
let first;
let second;

await test('the page comes through the gateway with headers that keep it to itself', async () => {
  const { headers, status } = await fetch(page_url);
  equal(status, 200, 'status');
  const policy = headers.get('content-security-policy');
  for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
    check(policy.includes(part), `the policy has no ${part}: ${policy}`);
  }
  check(!policy.includes('unsafe'), policy);
  equal(headers.get('x-content-type-options'), 'nosniff', 'nosniff');
  for (const path of ['/web/../sallyport.yaml', '/web/..%2f..%2fbusiness.c', '/web/settings.json/', '/web/README.md']) {
    const got = await fetch(product.url + path);
    check(got.status === 404 || got.status === 401 || got.status === 400, `${path}: ${got.status}`);
  }
});

await test('a wrong password is refused, and the page says no more than that', async () => {
  first = await open(home);
  await outside(first);
  await login(first, 'a wrong one');
  await first.waitForSelector('#message:visible');
  equal(await first.textContent('#message'), 'This name and password do not belong together.', 'message');
});

await test('alice logs in, and the service learns who she is from headers alone', async () => {
  await login(first);
  await inside(first);
  equal(await first.textContent('#name'), 'alice', 'name');
  const saw = await ask(first, 'Run MyClass');
  equal([saw.status, saw.user, saw.roles, saw.product, saw['credential seen']], [200, 'alice', 'clerk', 'web', 'false'], 'what it saw');
  await first.check('#forge');
  const forged = await ask(first, 'Run MyClass');
  equal([forged.user, forged.roles], ['alice', 'clerk'], 'what it saw with forged headers');
  await first.uncheck('#forge');
  if (process.env.PICTURE) {
    await ask(first, 'Run MyClass');
    await first.waitForSelector('#sessions td');
    await sleep(1200);
    await first.screenshot({ path: process.env.PICTURE, animations: 'disabled' });
  }
});

await test('what she may not do is refused, with what an operator needs to explain it', async () => {
  equal((await ask(first, 'Pay order')).status, 403, 'status');
  const told = await first.textContent('#explain code');
  check(/^sallyport why \S{26}$/.test(told), told);
  const why = product.run(...told.split(' ').slice(1));
  check(why.includes('payOrder'), why);
});

await test('a second tab takes up the session without a login and without a refresh', async () => {
  const before = await product.requests('authentication:refresh');
  second = await open(home);
  await inside(second);
  equal(await second.textContent('#name'), 'alice', 'name');
  equal(await product.requests('authentication:refresh') - before, 0, 'refreshes');
});

await test('the token is renewed unseen before it ends: each time once for both tabs, and no call is refused', async () => {
  const before = await product.requests('authentication:refresh');
  const seen = await renewals(first);
  home.seen.answers.length = 0;
  const end = Date.now() + 60_000 * slower;
  let calls = 0;
  while (await renewals(first) < seen + 2) {
    check(Date.now() < end, 'it was not renewed');
    for (const page of [first, second]) {
      equal((await ask(page, 'Run MyClass')).status, 200, 'status of a call meanwhile');
      calls++;
    }
    await sleep(150);
  }
  const times = await renewals(first) - seen;
  await eventually(async () => await renewals(second) >= 2, 'the other tab has it too', 2000);
  equal(await product.requests('authentication:refresh') - before, times, 'refreshes at the service');
  const refused = home.seen.answers.filter((a) => /^[45]/.test(a));
  equal(refused, [], 'refused calls');
  return `${calls} calls, ${times} renewals`;
});

await test('six tabs that find the token old at the same moment renew it once', async () => {
  const crowd = await profile();
  const tabs = [];
  try {
    // All of them are open before the token is there: it must not grow old by itself while a slow machine opens them.
    while (tabs.length < 6) tabs.push(await open(crowd));
    await login(tabs[0]);
    await Promise.all(tabs.map(inside));
    const before = await product.requests('authentication:refresh');
    // Their clocks jump, as after a sleep, and all of them wake up.
    await Promise.all(tabs.map((tab) => tab.evaluate((ms) => {
      const now = Date.now;
      Date.now = () => now() + ms;
      dispatchEvent(new Event('online'));
    }, life * 900)));
    for (const tab of tabs) await eventually(async () => await renewals(tab) === 1, 'every tab has the new token', 3000);
    await sleep(300);
    equal(await product.requests('authentication:refresh') - before, 1, 'refreshes at the service');
    equal(crowd.seen.complaints, [], 'complaints');
  } finally { // the session ends, whatever came out: the next test counts them
    if (await tabs[0]?.isVisible('#logout')) {
      await tabs[0].click('#logout');
      await Promise.all(tabs.map(outside));
    }
    await crowd.context.close();
  }
});

await test('a page that is loaded again goes on, though its memory is gone', async () => {
  await second.reload();
  await inside(second);
  equal((await ask(second, 'Show order')).status, 200, 'status');
});

await test('logging out in one tab logs out the other; the access token is refused at once', async () => {
  const [request] = await Promise.all([
    first.waitForRequest((r) => r.url().endsWith('/business/myclass/myoperation')), ask(first, 'Run MyClass'),
  ]);
  const token = (await request.allHeaders()).authorization.slice('Bearer '.length);
  equal((await product.ask('GET', '/orders/7', { token })).status, 200, 'the token before');
  const refresh = await kept(first);
  await second.click('#logout');
  await Promise.all([outside(first), outside(second)]);
  equal(await kept(first), undefined, 'what is kept');
  await eventually(async () => (await product.ask('GET', '/orders/7', { token })).status === 401, 'the token is refused', 1000);
  equal((await product.refresh(refresh)).status, 401, 'a refresh afterwards');
});

await test('a second browser is a second session; the first one ends it from its list', async () => {
  await login(first);
  await inside(first);
  const away = await profile();
  const other = await open(away);
  await login(other);
  await inside(other);
  await first.reload();
  await inside(first);
  await eventually(async () => await first.locator('#sessions button').count() === 1, 'the other session is listed');
  equal(await first.locator('#sessions tr').count(), 2, 'sessions');
  await first.click('#sessions button');
  await eventually(async () => await first.locator('#sessions tr').count() === 1, 'it is gone from the list');
  await eventually(async () => {
    await other.click('#calls button >> nth=1', { timeout: 500 }).catch(() => {});
    return other.isVisible('#outside');
  }, 'the other browser is outside');
  equal((await ask(first, 'Show order')).status, 200, 'its own session');
  equal(away.seen.complaints, [], 'complaints');
  await away.context.close();
});

await test('a refresh token that was stolen and is used again later ends the session', async () => {
  const stolen = await kept(first);
  await eventually(async () => await kept(first) !== stolen, 'the page has renewed', life * 2000);
  await sleep(10_500); // as long as an honest client may repeat itself
  const thief = await product.refresh(stolen);
  equal([thief.status, thief.body.code], [401, 'refresh_reused'], 'what the thief gets');
  await eventually(async () => {
    await first.click('#calls button >> nth=1', { timeout: 500 }).catch(() => {});
    return first.isVisible('#outside');
  }, 'the page is outside');
  equal(await first.textContent('#message'), 'Your session has ended. Log in again.', 'message');
  equal(await kept(first), undefined, 'what is kept');
});

await test('no page had anything to complain of, and none could have run a script from a string', async () => {
  equal(home.seen.complaints, [], 'complaints');
  const refused = await first.evaluate(() => {
    try {
      document.body.innerHTML = '<img src=x onerror=alert(1)>';
      return false;
    } catch (error) {
      return error instanceof TypeError;
    }
  });
  check(refused, 'markup from a string is taken');
});

await browser.close();
await finish();
