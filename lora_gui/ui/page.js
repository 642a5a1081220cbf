// What the page knows between two answers of the window: what was typed and not confirmed yet, whether anybody looks,
// where the focus goes, and how a lost connection is said. Whatever outlives the page is held by the window.
window.studio = (() => {
  const PATIENCE = 5000; // ms after which an answer counts as lost
  const TRIES = 3;
  const SETTLED = 60; // ms in which an answer is drawn
  const OPENS = 3000; // ms in which the first look is to be answered
  const RESTS = 500, WAITS = 10000; // ms without a key; ms between two looks while there are keys
  const LOST = 'LoRA Studio was closed. Start it again; nothing is lost.';
  const UNFORESEEN = 'That did not work. Try it again; what went wrong stands where LoRA Studio was started.';
  const forms = {};
  let looks = null, calms = null, wanted = false; // `wanted`: another look, once this one was answered
  let comes = true; // whether an answer to a look is on its way; to the one that opens the page, at first
  let opens = 0; // until when the page waits for that one

  const form = key => forms[key] ??= { key, typed: {}, took: {}, number: -1, asked: -Infinity };
  const same = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
  const isEmpty = value => value === null || value === undefined || value === '';
  const isSeen = element => element?.isConnected && element.checkVisibility();

  // `places` are the ids of its fields by their names, `fold` that of what some of them are folded into.
  function open(key, props, trigger, watch, places, fold) {
    Object.assign(form(key), { trigger, places, fold });
    watch('value', () => hear(form(key), props.value));
    send(form(key));
  }

  // Gradio's text boxes tell of key presses alone: not of Backspace, of what is pasted, or of other ways to write. And
  // what an answer must not write over is known before gradio itself hears of it.
  function texts(fields) {
    document.addEventListener('input', ({ target }) => {
      const [key, name] = fields[target.matches('input, textarea') && target.closest('.block[id]')?.id] || [];
      if (key) edit(key, name, target.type !== 'number' ? target.value : target.value === '' ? null : Number(target.value));
    }, true);
  }

  // An edit is sent at once, with when it was typed, so that an older one changes nothing however late it comes; what is
  // typed until its answer goes together in the next one.
  let latest = 0; // ms; of two edits none is as old as the other
  function edit(key, name, value) {
    latest = Math.max(Date.now(), latest + 1);
    form(key).typed[name] = { value, at: latest, element: document.activeElement, tries: 0 };
    send(form(key));
    return [];
  }

  function send(one) {
    clearTimeout(one.later);
    const waits = one.asked + PATIENCE - performance.now();
    if (waits > 0) { one.later = setTimeout(send, waits, one); return; }
    const news = Object.entries(one.typed).filter(([, typed]) => !typed.isSent && typed.tries < TRIES);
    if (!news.length || !one.trigger) return;
    for (const [, typed] of news) { typed.isSent = true; typed.tries += 1; }
    one.asked = performance.now();
    one.trigger('input', { changes: stamped(news), form: one.key });
  }
  const stamped = news => Object.fromEntries(news.map(([name, { value, at }]) => [name, [value, at]]));

  // A look takes long: what a press was replied meanwhile is newer, and must not be drawn over. Nothing is lost by
  // passing such a look over, since it is the page that says what it was told: it looks again. Of answers to edits the
  // fields know themselves which is newer; at its own answer alone a form sends what was typed meanwhile.
  const SAME = { __type__: 'update' };
  const fetched = window.fetch;
  let answers = 0;
  window.fetch = async (where, how) => {
    const isEvent = typeof how?.body === 'string' && /\/(run\/predict|queue\/join)/.test(where);
    if (!isEvent) return fetched(where, how);
    const { look, form: key } = JSON.parse(how.body).event_data ?? {};
    if (key in forms) return heard(fetched(where, how)).finally(() => { forms[key].asked = -Infinity; });
    if (!look) {
      const answer = await heard(fetched(where, how));
      answers += 1;
      return answer;
    }
    const before = answers, answer = await heard(fetched(where, how));
    if (!answer.ok) return answer;
    if (voice()?.firstChild.textContent === LOST) voice().remove(); // it is there again
    const told = await answer.json().catch(() => null); // it is long, and may break off half way
    if (!told) return new Response('{}', { status: 500 });
    clearTimeout(opens); // what came is drawn before it is seen, also where that takes long
    if (before === answers) return Response.json(told);
    wanted = true;
    return Response.json({ ...told, data: told.data.map(() => SAME) });
  };

  // Gradio keeps quiet about an answer that is none. What the window refuses before it comes to gradio is a sentence.
  async function heard(asked) {
    const answer = await asked;
    if (answer.ok) return answer;
    const words = await answer.clone().text().catch(() => '');
    say(answer.status < 500 && words && !words.startsWith('{') ? words : UNFORESEEN);
    return answer;
  }

  // What a script asks for by itself goes past gradio, which for every answer looks through all parts of the page; what
  // cannot be done is an answer that says so. None, where it was lost.
  const asked = {}, leavers = {};
  function asks(key, fn) { asked[key] = fn; }
  function post(key, event, more) {
    const body = JSON.stringify({ data: [null], event_data: event, fn_index: asked[key], session_hash: 'page' });
    return fetched('gradio_api/run/predict', { method: 'POST', headers: { 'content-type': 'application/json' }, body, ...more });
  }
  async function ask(key, event) {
    while (!(key in asked)) await new Promise(done => setTimeout(done, SETTLED)); // the page is still being made
    const answer = await post(key, event).catch(() => null);
    const told = answer?.ok ? await answer.json().catch(() => null) : null; // it may break off half way
    if (told) return told.data[0];
    say(answer && !answer.ok ? UNFORESEEN : LOST);
    return null;
  }

  // A page that is left has no time for answers: what was not heard of goes off without waiting for one.
  function leaving(key, act) { leavers[key] = act; }
  function beacon(key, event) {
    post(key, event, { keepalive: true }).catch(() => post(key, event)).catch(() => {}); // the first has little room
  }
  function depart() {
    for (const act of Object.values(leavers)) act();
    for (const [key, one] of Object.entries(forms)) {
      const { changes } = unsent(key, {});
      if (Object.keys(changes).length && key in asked) beacon(key, { changes });
    }
  }
  window.addEventListener('pagehide', depart);
  document.addEventListener('visibilitychange', () => { if (document.hidden) depart(); });

  // What a button takes along, since the window may not have heard of it yet.
  function unsent(key, shown) {
    return { ...shown, changes: stamped(Object.entries(form(key).typed)) };
  }

  // Each answer is heard once, and passed over where a newer one came first; what is being typed is never written over.
  // What the press of a button brought to light stays until something is changed, or pressed again.
  function hear(one, kept) {
    if (kept === one.kept) return;
    one.kept = kept;
    const told = JSON.parse(kept || '{}');
    if (!told.values || told.number < one.number) return;
    const stays = one.stays && !told.pressed && told.number === one.number ? ['notice', 'verdict'] : [];
    one.number = told.number;
    one.took = told.took;
    if (!stays.length) Object.assign(one, { wrong: told.wrong, stays: told.stays });
    one.names = told.names;
    const stay = Object.fromEntries(stays.filter(name => name in one.values).map(name => [name, one.values[name]]));
    one.values = { ...(one.due ? one.values : {}), ...told.values, ...stay };
    one.due = true;
    mend();
    if (told.focus) setTimeout(go, SETTLED, one, told.focus);
  }

  // How the fields come to stand, once for what was heard; `undefined` lets gradio leave one alone, whatever happens to
  // it meanwhile. The answer is given along for a form on a tab that was not open yet, which cannot watch.
  function fill(key, kept, shown) {
    const one = form(key);
    hear(one, kept);
    const values = one.due ? one.names.map((name, at) => (
      name in one.values ? taken(one, name, one.values[name], shown[at]) : undefined)) : [];
    one.due = false;
    send(one);
    return values;
  }

  // A number that was emptied and left is the preset's again; nothing else changes.
  function left(key, kept, shown) {
    const one = form(key);
    return (one.names || []).map((name, at) => (
      name in one.typed && isEmpty(one.typed[name].value) ? taken(one, name, one.values[name], shown[at]) : undefined));
  }

  // What was typed is shown as what has become of it, once the window took it, or something that was typed later.
  function taken(one, name, value, shown) {
    const typed = one.typed[name];
    if (typed && !(typed.at <= one.took[name])) { typed.isSent = false; return undefined; } // it is told again
    const isEmptied = typed && isEmpty(typed.value) && !same(typed.value, value);
    if (isEmptied && typed.element === document.activeElement) return undefined; // until it is left
    delete one.typed[name];
    return same(value, shown) ? undefined : value;
  }

  // What is wrong stands under its field, with a button for the nearest value, and on the header of what it is folded in.
  function judge(one) {
    const folded = document.getElementById(one.fold), inside = [];
    for (const [name, id] of Object.entries(one.places || {})) {
      const block = document.getElementById(id), fault = one.wrong?.[name];
      if (fault && folded && (!block || folded.contains(block))) inside.push(fault.words);
      if (block) mark(block, name, fault);
    }
    const words = inside.length > 1 ? `${inside.length} settings to mend` : inside[0] || '';
    const header = folded?.querySelector(':scope > .label-wrap');
    if (header) put(header, 'wrong-inside', words);
  }

  function mark(block, name, fault) {
    const input = block.querySelector('input:not([type=range]), textarea');
    if (!fault && !block.querySelector(':scope > .wrong')) return;
    const line = put(block, 'wrong', fault?.words || '');
    if (!fault) {
      line.remove();
      input?.removeAttribute('aria-invalid');
      input?.removeAttribute('aria-describedby');
      return;
    }
    line.id = `${block.id}-wrong`;
    if (input?.getAttribute('aria-invalid') !== 'true') input?.setAttribute('aria-invalid', 'true');
    if (input?.getAttribute('aria-describedby') !== line.id) input?.setAttribute('aria-describedby', line.id);
    let button = line.querySelector('button');
    if (!fault.use) button?.remove();
    else if (button?.textContent !== fault.use) {
      button ??= line.appendChild(Object.assign(document.createElement('button'), { type: 'button', className: 'chip' }));
      button.textContent = fault.use;
      button.dataset.mends = name;
    }
  }

  // A line of the page's own within `block`, changed only where it says something else: whoever watches sees the change.
  function put(block, kind, words) {
    let line = block.querySelector(`:scope > .${kind}`);
    if (!line) {
      line = document.createElement('span');
      line.className = kind;
      if (kind === 'wrong') line.role = 'alert';
      line.append(document.createElement('span'));
      block.append(line);
    }
    if (line.firstChild.textContent !== words) line.firstChild.textContent = words;
    return line;
  }

  document.addEventListener('click', ({ target }) => {
    const name = target.closest?.('[data-mends]')?.dataset.mends, block = target.closest?.('.block[id]');
    const one = name && Object.values(forms).find(each => each.places?.[name] === block?.id);
    if (!one?.wrong?.[name]) return;
    edit(one.key, name, one.wrong[name].instead);
    block.querySelector('input, textarea')?.focus();
  });

  // A button that is drawn anew while the pointer is down is pressed all the same: the browser clicks neither of the two.
  let down = null, meant = null;
  const means = one => one && [one.textContent, { ...one.dataset }, one.closest('[data-name]')?.dataset.name];
  document.addEventListener('pointerdown', ({ target }) => {
    down = target.closest?.('button, summary');
    meant = means(down);
  }, true);
  document.addEventListener('pointerup', ({ clientX, clientY }) => {
    const was = down, now = document.elementFromPoint(clientX, clientY)?.closest('button, summary');
    down = null;
    if (was && now && !was.isConnected && same(meant, means(now))) now.click();
  }, true);

  // A trigger word that is offered is typed by one click.
  document.addEventListener('click', ({ target }) => {
    const word = target.closest?.('[data-take]')?.dataset.take, input = document.querySelector('#trigger input');
    if (!word || !input) return;
    input.value = word;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    input.focus();
  });

  // To the field that has to be mended first, also where it is folded away.
  function go(one, name, tries = 10) {
    const block = document.getElementById(one.places[name]), folded = document.getElementById(one.fold);
    const input = block?.querySelector('input:not([type=range]), textarea');
    if (isSeen(input)) { input.focus(); return; }
    if (tries === 10) folded?.querySelector(':scope > .label-wrap')?.click();
    if (tries) setTimeout(go, SETTLED, one, name, tries - 1);
  }

  // The first look may bring the welcome, or a run in place of the form: what it moves is not seen before. Where its
  // answer does not come, the page is seen as it is.
  const root = document.documentElement, opened = () => root.classList.remove('opening');
  root.classList.add('opening');
  setTimeout(opened, 10 * OPENS); // whatever becomes of the rest of the page

  // Looks happen while something lives and somebody sees the page, and once whenever it comes into sight again.
  function live(props, trigger, watch) {
    let timer = 0, told = null, looked = comes ? performance.now() : -Infinity;
    const others = new BroadcastChannel('studio');
    const region = Object.assign(document.createElement('div'), { id: 'said', role: 'status', ariaLive: 'polite' });
    document.body.append(region);
    // One at a time: of two, the older answer could come last, or each draw a part of the page, and nobody would look on.
    const look = looks = () => {
      const now = performance.now();
      wanted = comes && now - looked < WAITS;
      if (wanted) return;
      comes = true;
      looked = now;
      trigger('tick', { look: true });
    };
    // Its answer holds the page up: what nobody pressed for gives way to keys that are being pressed, but not for ever.
    let pressed = -Infinity, again = 0;
    document.addEventListener('keydown', () => { pressed = performance.now(); }, true);
    const calmly = calms = () => {
      const now = performance.now();
      clearTimeout(again);
      if (now - pressed < RESTS && now - looked < WAITS) again = setTimeout(calmly, RESTS);
      else look();
    };
    const seen = () => { if (!document.hidden && performance.now() - looked > 1000) look(); };
    let lived = false, drawing = false;
    function arrange() {
      clearInterval(timer);
      const now = JSON.parse(props.value || '{}');
      if (now.every && !document.hidden) timer = setInterval(calmly, now.every);
      if (now.every && !lived) others.postMessage('begun');
      lived = Boolean(now.every);
      document.title = now.title || 'LoRA Studio';
      for (const tab of document.querySelectorAll('#tabs [role=tab]')) {
        tab.classList.toggle('lives', (now.tabs || []).includes(tab.textContent.trim()));
      }
      const draws = (now.tabs || []).includes('Generate');
      if (told !== null && told !== now.words) aloud(now.words);
      else if (told !== null && draws && !drawing) aloud('Drawing.');
      drawing = draws && told !== null; // and not before the page came
      told = now.words ?? null;
      drew ||= drawing;
    }
    watch('value', arrange);
    opens = setTimeout(opened, OPENS);
    document.addEventListener('visibilitychange', () => { arrange(); seen(); });
    window.addEventListener('focus', seen);
    others.onmessage = () => { if (!document.hidden) look(); };
  }

  // What is said to those who do not see it; of a drawing only where one was begun, and not of those that were there.
  let drew = false;
  function aloud(words) { document.getElementById('said').textContent = words; }
  function drawn(words, isLater) { if (drew || isLater) aloud(`Drawn: ${words}`); }

  function arrived() {
    comes = false;
    if (wanted) looks();
    setTimeout(window.requestIdleCallback ?? requestAnimationFrame, SETTLED, opened, { timeout: OPENS });
    setTimeout(land, SETTLED, false);
  }

  // A button's work is done: look at what it began. Where the button is gone, the focus goes to the first of these.
  let due = null;
  function after(selectors) {
    looks?.();
    due = { pressed: document.activeElement, selectors };
    setTimeout(land, SETTLED, true);
    return [];
  }
  // Whoever comes back to a list finds what was opened from it, however far down it stands.
  let wentTo = '';
  document.addEventListener('click', ({ target }) => {
    if (target.closest?.('[data-act=open]')) wentTo = target.closest('[data-name]')?.dataset.name ?? '';
  }, true);
  const opener = () => wentTo && document.querySelector(`[data-name="${CSS.escape(wentTo)}"] [data-act=open]`);
  // Often it is the look that lets the button go; one that stays, and was left, brings nobody anywhere.
  function land(isFirst) {
    const at = document.activeElement, { pressed, selectors } = due ?? {};
    if (at !== document.body && at !== pressed) due = null;
    if ((at !== document.body && isSeen(at)) || (!isFirst && (pressed === document.body || isSeen(pressed)))) return;
    const next = due && [opener(), ...selectors.map(one => document.querySelector(one))].find(isSeen);
    if (next && next === opener()) wentTo = '';
    if (next && !next.matches('a, button, input, textarea, select, summary')) next.tabIndex = -1;
    next?.focus();
  }

  const voice = () => document.getElementById('voice');
  function say(words) {
    let line = voice();
    if (!line) {
      line = Object.assign(document.createElement('div'), { id: 'voice', role: 'alert' });
      const close = Object.assign(document.createElement('button'), { type: 'button', className: 'chip', textContent: 'Close' });
      close.addEventListener('click', () => line.remove());
      line.append(document.createElement('span'), close);
      document.body.append(line);
    }
    line.firstChild.textContent = words;
  }
  document.addEventListener('keydown', ({ key }) => { if (key === 'Escape') voice()?.remove(); });

  // The path of a copy on the other side; where it is refused, the window's own sentence is thrown.
  async function copied(file) {
    const body = new FormData();
    body.append('files', file);
    const answer = await fetch('gradio_api/upload', { method: 'POST', body }), words = await answer.text();
    if (!answer.ok) throw { why: words.startsWith('{') ? String(JSON.parse(words).detail ?? '') : words };
    return JSON.parse(words)[0];
  }

  // Gradio sends nothing while it waits for a window that was closed; whoever presses meanwhile is told again.
  const isLost = toast => /connection/i.test(toast.textContent);
  document.addEventListener('click', ({ target }) => {
    if (!target.closest?.('button') || target.closest('#voice')) return;
    if ([...document.querySelectorAll('[data-testid=toast-body]')].some(isLost)) say(LOST);
  }, true);

  // Gradio's own voice is hidden by the style sheet; what it had to say is said in ours.
  function mend() {
    for (const toast of document.querySelectorAll('[data-testid=toast-body]:not([data-heard])')) {
      toast.dataset.heard = '';
      const words = toast.querySelector('[data-testid=toast-text]')?.textContent.trim().replace(/^(Error: )?HTTP \d+: /, '') || '';
      say(isLost(toast) ? LOST : words.includes(' ') ? words : UNFORESEEN);
    }
    for (const input of document.querySelectorAll('#preset input[type=radio]')) {
      if (input.name !== 'preset') input.name = 'preset'; // gradio gives each a name of its own: three groups
      const group = input.closest('.wrap');
      if (group.role !== 'radiogroup') Object.assign(group, { role: 'radiogroup', ariaLabel: 'What are you making?' });
    }
    for (const one of Object.values(forms)) judge(one);
    place();
  }

  // The open tab stands in the address, so that a reload and the browser's Back come to it.
  let isPlaced = false;
  const named = () => { // the tab that the address names, also where it has room in gradio's menu only, else the first
    const tabs = [...document.querySelectorAll('#tabs [role=tab]')], name = location.hash.slice(1);
    const menu = [...document.querySelectorAll('#tabs .overflow-dropdown button')];
    return tabs.find(one => one.dataset.tabId === name)
      ?? menu.find(one => one.textContent.trim().toLowerCase() === name) ?? tabs[0];
  };
  const openTab = () => named()?.click();
  function place() {
    const open = document.querySelector('#tabs [role=tab][aria-selected=true]');
    if (!open) return;
    if (!isPlaced) { history.replaceState(null, ''); openTab(); } // a page that comes anew shows lists
    else if (named() !== open) history.pushState(null, '', `#${open.dataset.tabId}`);
    else step();
    isPlaced = true;
  }
  // What is opened from a list, a LoRA or a run, is a step of its own: the browser's Back leads to the list.
  const BACKS = { library: '#lora-back', runs: '#past-another' };
  const wayBack = () => [...document.querySelectorAll(BACKS[location.hash.slice(1)] ?? 'none')].find(isSeen);
  let isLeft = false;
  function step() {
    const isOpened = Boolean(wayBack()), { isOpened: wasOpened } = history.state ?? {};
    isLeft &&= isOpened;
    if (isOpened && !wasOpened && !isLeft) history.pushState({ isOpened }, '');
    else if (!isOpened && wasOpened) setTimeout(() => { if (history.state?.isOpened && !wayBack()) history.back(); }, SETTLED);
  }
  window.addEventListener('popstate', ({ state }) => {
    openTab();
    isLeft = !state?.isOpened && Boolean(wayBack());
    if (isLeft) wayBack().click();
  });
  function follow(name, until) {
    const open = document.querySelector('#tabs [role=tab][aria-selected=true]');
    if (open?.textContent.trim() === name) setTimeout(() => open.focus(), SETTLED);
    else if (performance.now() < until) setTimeout(follow, SETTLED, name, until);
  }
  document.addEventListener('click', ({ target }) => { // the menu goes, and what was pressed in it, once its tab is open
    if (target.closest?.('#tabs .overflow-dropdown')) follow(target.textContent.trim(), performance.now() + OPENS);
  });

  // Gradio opens the list of a dropdown on any key, also on those with which it is left, and there it stays. One that
  // scrolls would be the next stop of Tab, and go as it is come to, and the focus with it.
  window.addEventListener('keydown', event => {
    if (!['Tab', 'Shift'].includes(event.key) || !event.target.matches?.('input[role=combobox]')) return;
    event.stopImmediatePropagation();
    document.getElementById(event.target.getAttribute('aria-controls'))?.setAttribute('tabindex', -1);
  }, true);

  // A drawing is shown at twice its size at most; the style sheet cannot know that size.
  document.addEventListener('load', ({ target }) => {
    if (!target.naturalWidth) return;
    const place = target.closest('#gallery .thumbnail-item') ? target : target.closest('.run .slider');
    place?.style.setProperty('--twice', `${2 * target.naturalWidth}px`);
    place?.style.setProperty('--twice-high', `${2 * target.naturalHeight}px`);
  }, true);

  // Gradio counts the seconds of its own loading on for ever, in every frame, although its loader has gone: 8 % of a
  // core. Each frame asks for the next, so without one it has an end. It is known by being the only one for a second.
  const ALONE = 60, ENOUGH = 900; // frames
  let last = 0, alone = 0, looked = 0;
  requestAnimationFrame(function look() {
    const own = requestAnimationFrame(look);
    alone = own - last === 2 ? alone + 1 : 0;
    last = own;
    looked += 1;
    if (alone >= ALONE) cancelAnimationFrame(own - 1);
    if (alone >= ALONE || looked >= ENOUGH) cancelAnimationFrame(own);
  });

  // Gradio watches all that it was given, and for each component looks through what listens to what: nearly half of
  // what scripts do while the page opens. What listens never changes, and what is no plain object is not watched.
  const unwatched = {};
  for (const listens of window.gradio_config.dependencies) Object.setPrototypeOf(listens, unwatched);

  new MutationObserver(mend).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ['name', 'aria-selected'],
  });
  return { asks, ask, say, leaving, beacon, open, texts, edit, unsent, fill, left, live, arrived, after, drawn, calmly: () => calms?.(), copied };
})();
