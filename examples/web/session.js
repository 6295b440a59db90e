// One login session, shared by all tabs of this origin. No page, no drawing: that is app.js.
//
//   access token    in this module's memory, in every tab its own copy; gone when the tab is closed
//   refresh token   in localStorage, one for all tabs (why, and what that risks: README.md here)
//
// Each refresh token is good for one use, so two tabs must never use the same one. Whoever wants to renew takes a Web
// Lock first. Each rotation has a mark, kept beside the refresh token: who gets the lock and finds another mark than
// that of its own access token knows that somebody has renewed meanwhile, and asks the other tabs for what they have.

const KEPT = 'sallyport.session'; // in localStorage: {refresh_token, mark}
const LOCK = 'sallyport.session'; // whoever holds it may use the refresh token
const TAB = 'sallyport.tab'; // every tab holds it, so that one can tell whether it is alone
const MARGIN = 30_000; // renewed so long before the end, but never before three quarters of its life
const ANSWER = 1000; // how long other tabs may take to answer
const LINGER = 50; // how long the lock is kept after a renewal, for the news to arrive first

const ENDED = new Set(['refresh_invalid', 'refresh_reused']);

export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.title ?? `status ${status}`);
    Object.assign(this, { status, retryAfter, code: body.code ?? body.reason ?? '', decision: body.decision_id ?? '' });
  }
}

/** What a token says. For showing only: whoever has to rely on it verifies it, and that is not the browser. */
export function claims(token) {
  const part = (i) => JSON.parse(new TextDecoder().decode(Uint8Array.from(
    atob(token.split('.')[i].replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))));
  return { header: part(0), ...part(1) };
}

export class Session {
  #apikey;
  #changed;
  #access = null; // {token, mark, expires, renewAt}; times in ms of this machine's clock, which all tabs share
  #timer = 0;
  #channel = new BroadcastChannel(KEPT);

  /** changed(why, access): 'login' 'refreshed' 'shared' 'ended' 'logout' */
  constructor(apikey, changed) {
    this.#apikey = apikey;
    this.#changed = changed;
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    navigator.locks.request(TAB, { mode: 'shared' }, () => new Promise(() => {})); // until the tab is closed
    // A timer of a tab in the background may come late, one of a sleeping machine does.
    addEventListener('visibilitychange', () => this.#look());
    addEventListener('pageshow', () => this.#look());
    addEventListener('online', () => this.#look());
    addEventListener('storage', (e) => {
      if ((e.key === KEPT || e.key === null) && e.newValue === null) this.#end('logout');
    });
  }

  get access() { return this.#access; }

  /** Takes up a session that another tab, or this one before it was reloaded, has begun. False: there is none. */
  async resume() {
    if (!this.#kept()) return false;
    try {
      await this.#renew(null);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
    }
    return this.#access !== null;
  }

  async login(username, password) {
    const answer = await this.#post('login', { username, password, client: 'web' });
    await navigator.locks.request(LOCK, () => this.#take(answer, 'login'));
  }

  async logout() {
    await navigator.locks.request(LOCK, async () => {
      const kept = this.#kept();
      this.#end('logout');
      this.#channel.postMessage({ kind: 'ended', why: 'logout' });
      if (kept) await this.#post('logout', { refresh_token: kept.refresh_token });
    });
  }

  /** fetch() with the product's key and a good access token; one that is refused is renewed once. */
  async fetch(path, options = {}) {
    let used = await this.#token(null);
    let response = await this.#send(path, options, used);
    if (response.status === 401 && used) {
      const renewed = await this.#token(used);
      if (renewed && renewed !== used) response = await this.#send(path, options, renewed);
    }
    return response;
  }

  #send(path, options, token) {
    const headers = new Headers(options.headers);
    headers.set('apikey', this.#apikey);
    if (token) headers.set('Authorization', `Bearer ${token}`);
    return fetch(path, { ...options, headers, cache: 'no-store', credentials: 'omit', redirect: 'error' });
  }

  async #post(what, body) {
    const response = await this.#send(`/authentication/${what}`, {
      method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' },
    });
    if (response.ok) return response.status === 204 ? null : response.json();
    throw new Problem(response.status, await response.json().catch(() => ({})),
      Number(response.headers.get('Retry-After')) || 0);
  }

  /** A token that is good now and is not `refused`; null when there is no session. */
  async #token(refused) {
    if (!this.#good(refused)) await this.#renew(refused).catch(() => {});
    return this.#access && this.#access.expires > Date.now() ? this.#access.token : null;
  }

  #good(refused) {
    const a = this.#access;
    return a !== null && a.token !== refused && a.renewAt > Date.now();
  }

  /** One renewal for all tabs, however many ask for it at the same time. */
  #renew(refused) {
    return navigator.locks.request(LOCK, async () => {
      if (this.#good(refused)) return; // another tab was first, and has told us
      const kept = this.#kept();
      if (!kept) return this.#end('ended');
      const alone = await this.#alone();
      if (!alone && kept.mark !== this.#access?.mark && await this.#ask(refused)) return; // … or had not told us yet
      try {
        this.#take(await this.#post('refresh', { refresh_token: kept.refresh_token }), 'refreshed');
        if (!alone) await new Promise((resolve) => setTimeout(resolve, LINGER));
      } catch (problem) {
        if (problem instanceof Problem && problem.status === 401 && ENDED.has(problem.code)) {
          this.#end('ended');
          this.#channel.postMessage({ kind: 'ended', why: 'ended' });
        } else if (this.#access) { // no network, or a service that is busy: what there is may still be good
          this.#wake(Math.max(1000, (problem.retryAfter ?? 0) * 1000));
        }
        throw problem;
      }
    });
  }

  async #alone() {
    const { held } = await navigator.locks.query();
    return held.filter((lock) => lock.name === TAB).length < 2;
  }

  /** Whether another tab has a token that serves; it answers with it on the channel. */
  #ask(refused) {
    this.#channel.postMessage({ kind: 'ask' });
    return new Promise((resolve) => {
      const until = Date.now() + ANSWER;
      const look = () => {
        if (this.#good(refused)) resolve(true);
        else if (Date.now() >= until) resolve(false);
        else setTimeout(look, 10);
      };
      look();
    });
  }

  #hear(message) {
    if (message.kind === 'token') this.#hold(message.access, 'shared');
    if (message.kind === 'ask' && this.#good(null)) this.#channel.postMessage({ kind: 'token', access: this.#access });
    if (message.kind === 'ended') this.#end(message.why);
  }

  #take(answer, why) {
    const now = Date.now();
    const life = answer.expires_in * 1000;
    const mark = crypto.randomUUID();
    localStorage.setItem(KEPT, JSON.stringify({ refresh_token: answer.refresh_token, mark }));
    this.#hold({
      token: answer.access_token, mark, expires: now + life, renewAt: now + Math.max(life * 0.75, life - MARGIN),
    }, why);
    this.#channel.postMessage({ kind: 'token', access: this.#access });
  }

  #hold(access, why) {
    if (this.#access && this.#access.expires > access.expires && why === 'shared') return; // an older one, late
    if (this.#access?.token === access.token) return;
    this.#access = access;
    this.#wake(access.renewAt - Date.now());
    this.#changed(why, access);
  }

  #wake(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), Math.max(0, ms));
  }

  #look() {
    if (this.#access && !this.#good(null)) this.#renew(null).catch(() => {});
  }

  #kept() {
    try {
      return JSON.parse(localStorage.getItem(KEPT));
    } catch {
      return null;
    }
  }

  #end(why) {
    clearTimeout(this.#timer);
    localStorage.removeItem(KEPT);
    if (this.#access === null) return;
    this.#access = null;
    this.#changed(why, null);
  }
}
