// The picture desk: every picture of a set with its caption under it, moved between by keys. What is typed is sent a
// moment later, and at the latest when the page is left; a picture is fetched once its cell comes into sight.
// What a key changes stands on the page at once; the window's answer comes past gradio and touches what it is about.
const MOMENT = 300, PATIENCE = 5000, TOGETHER = 24; // ms; ms; small copies that are asked for at once
const SIGNS = { high: '▲', medium: '◆', low: '○' }, RANKS = ['high', 'medium', 'low'];
const grid = element.querySelector('.pictures'), about = element.querySelector('.about');
const parts = {}, part = name => parts[name] ??= element.querySelector(`.${name}`);
const cells = new Map(); // by the numbers of their pictures
let state = { set: '', cells: [] }, order = [], current = 0, later = 0, columns = 1;
const wanted = new Set();

const counted = (count, one) => `${count} ${one}${count === 1 ? '' : 's'}`;
const words = text => text.split(/\s+/).filter(Boolean).length;
const dirty = () => [...cells.values()].filter(cell => cell.text !== cell.saved);
function put(place, words) { if (place.textContent !== words) place.textContent = words; } // who watches the page is spared

function make(tag, className, more = {}) {
  return Object.assign(document.createElement(tag), { className }, more);
}

// A cell knows what it shows, what of its caption the window has, and since when it is typed in; `told` is when the
// window last answered about it, which `asks` count: what is said of the whole set and is older counts for nothing.
// The text of a text area costs a layout each time it is read: it is held.
function build(data) {
  const figure = make('figure', 'cell', { role: 'listitem', tabIndex: -1 }), place = make('div', 'place');
  const shot = make('div', 'shot'), frame = make('div', 'crop'), badge = make('span', 'badge');
  const area = make('textarea', '', { rows: 2, tabIndex: -1 }), unread = make('span', 'unread');
  shot.append(frame);
  place.append(shot, badge);
  const own = make('form', ''); // or the browser goes through all captions on each key, to fill in what it knows
  own.append(area);
  figure.append(place, own, unread);
  const cell = { n: data.n, figure, shot, frame, badge, area, unread, at: 0, within: 0, told: 0, asks: 0 };
  cell.text = cell.saved = cell.sent = data.caption;
  area.value = data.caption;
  figure.cell = cell;
  cells.set(data.n, cell);
  sight.observe(figure);
  return cell;
}

function show(cell, data) {
  const { figure, area, badge } = cell, worst = data.found[0];
  const [width, height] = data.size;
  cell.data = data;
  if (cell.text === cell.saved && cell.text !== data.caption) area.value = cell.text = data.caption;
  if (cell.text === data.caption) cell.saved = cell.sent = data.caption;
  cell.shot.style.cssText = width >= height ? `width:100%;height:${100 * height / width}%` : `height:100%;width:${100 * width / height}%`;
  badge.className = `badge ${worst?.severity ?? ''}`;
  badge.textContent = worst ? `${SIGNS[worst.severity]} ${worst.badge}` : '';
  badge.title = worst?.says ?? '';
  figure.classList.toggle('masked', Boolean(data.mask));
  area.ariaLabel = `Caption of ${data.name}`;
  frame(cell);
  unread(cell, data.unread);
  name(cell);
}

function name(cell) {
  const { data } = cell, worst = data.found[0];
  cell.figure.ariaLabel = `${data.name}${worst ? `, ${worst.says}` : ''}. ${cell.text || 'No caption'}`;
}

// The last words of a caption that the base does not read.
function unread(cell, count) {
  const last = count ? cell.text.split(/\s+/).filter(Boolean).slice(-count).join(' ') : '';
  cell.data.unread = count;
  put(cell.unread, last ? `Not read: ${last}` : '');
  cell.unread.title = last;
}

function frame(cell) {
  const { box: [wide, high], crop: [x, y] } = cell.data;
  cell.frame.hidden = wide * high > 0.98; // of less than that one edge alone would be seen
  cell.shot.classList.toggle('moves', !cell.frame.hidden);
  cell.frame.style.cssText = `left:${100 * x * (1 - wide)}%;top:${100 * y * (1 - high)}%;width:${100 * wide}%;height:${100 * high}%`;
}

// Pictures come when their cells come into sight, and not to those that have left it meanwhile.
const sight = new IntersectionObserver(seen => {
  for (const { target, isIntersecting } of seen) {
    const { n, shot } = target.cell;
    if (isIntersecting && !shot.querySelector('img')) wanted.add(n);
    else if (!isIntersecting) wanted.delete(n);
  }
  want();
}, { root: grid, rootMargin: '240px' });

let isWanting = false;
async function want() {
  if (isWanting || !wanted.size) return;
  isWanting = true;
  const { set } = state, numbers = [...wanted].slice(0, TOGETHER);
  const kept = await studio.ask('desk', { act: 'look', set, numbers });
  isWanting = false;
  if (kept && set === state.set) for (const n of numbers) wanted.delete(n); // those of another set are wanted still
  heard(kept);
  setTimeout(want, kept ? 0 : PATIENCE);
}

function came(small) {
  for (const [n, address] of Object.entries(small)) {
    const cell = cells.get(Number(n));
    if (!cell) continue;
    const image = cell.shot.querySelector('img') ?? cell.shot.insertBefore(make('img', '', { alt: '', draggable: false }), cell.frame);
    if (address) image.src = address;
    else image.remove();
  }
}

// What is done is told one after the other, as it stands when its turn has come; an answer that is lost holds nothing up.
let turn = Promise.resolve();
const waiting = new Set();
function tell(what) {
  const set = state.set;
  waiting.add(what);
  const answer = turn.then(() => studio.ask('desk', { set, ...(waiting.delete(what) ? what() : { act: 'state' }) }))
    .then(kept => { heard(kept); return kept; });
  turn = new Promise(next => { answer.finally(next); setTimeout(next, PATIENCE); });
  return answer;
}
const send = (act, more) => tell(() => ({ act, ...more }));

async function tellOf(cell, what) {
  cell.asks += 1;
  const kept = await tell(what);
  cell.asks -= 1;
  cell.told = kept?.at ?? 0;
}

let complained = ''; // what was said already, of what is tried again and again
function heard(kept) {
  if (!kept || kept.set !== state.set) return;
  if (kept.problem && kept.problem !== complained) studio.say(kept.problem);
  complained = kept.problem || '';
  if (kept.small) came(kept.small);
  if (kept.board) shown(kept.board);
  if (kept.state) arrange(JSON.parse(kept.state));
  if (kept.out) out(kept.out);
  if (kept.history) { history(kept.history); pages.postMessage(state.set); }
  const cell = cells.get(kept.n);
  if (cell && 'mask' in kept) {
    cell.data.mask = kept.mask;
    cell.figure.classList.toggle('masked', kept.mask);
  }
  if (cell && 'caption' in kept) captioned(cell, kept);
  say();
}

function captioned(cell, kept) {
  if (cell.text === kept.typed) {
    if (document.activeElement !== cell.area) cell.area.value = cell.text = kept.caption;
    cell.saved = cell.text;
    cell.data.caption = kept.caption;
    unread(cell, kept.unread);
    name(cell);
    long();
  }
  studio.judges(`${kept.set} ${kept.n} ${kept.caption}`);
}

function caption(cell) {
  cell.sent = cell.text;
  return { act: 'caption', n: cell.n, words: cell.text, within: cell.within, at: cell.at };
}
function save() {
  clearTimeout(later);
  const late = dirty();
  for (const cell of late) {
    if (cell.sent === cell.text && Date.now() - cell.at <= PATIENCE) continue;
    cell.sent = cell.text;
    tellOf(cell, () => caption(cell));
  }
  if (late.length) later = setTimeout(save, PATIENCE + 50); // an answer may be lost
}
studio.leaving('desk', () => {
  const late = [...waiting].map(what => what()), known = new Set(late.map(one => `${one.act} ${one.n}`));
  waiting.clear();
  late.push(...dirty().map(caption).filter(one => !known.has(`${one.act} ${one.n}`)));
  for (const one of late) studio.beacon('desk', { set: state.set, ...one });
  left();
});

function say() {
  put(part('kept'), !later ? '' : dirty().length ? '' : 'Kept.');
  const count = document.querySelector('[data-count]'), all = [...cells.values()];
  if (count) put(count, tally(all.length, all.filter(cell => cell.text.trim()).length));
  detail();
}
function tally(all, captioned) {
  const many = captioned === all ? 'all' : captioned ? captioned : 'none';
  return `${counted(all, 'picture')}, ${many} with ${captioned === 1 && all > 1 ? 'a caption' : 'captions'}`;
}

// What there is to know of the picture that is gone to.
function detail() {
  const cell = cells.get(current);
  about.classList.toggle('none', !cell);
  if (!cell) return;
  const { data } = cell, [width, height] = data.size, cut = Math.round(100 * (1 - data.box[0] * data.box[1]));
  const facts = [data.name, `${width} x ${height}`];
  if (data.learnt) facts.push(`learnt at ${data.learnt.join(' x ')}`);
  if (data.learnt && cut) facts.push(`${cut} % cut off`);
  facts.push(counted(words(cell.text), 'word'), ...(data.mask ? ['with a mask'] : []));
  put(part('facts'), facts.join(' · '));
  put(part('found'), data.found.map(one => `${SIGNS[one.severity]} ${one.says}`).join(' ') || data.problem);
  rest('middle', data.crop[0] === 0.5 && data.crop[1] === 0.5);
}

// A button that can be pressed no more would let the focus fall.
function rest(name, rests, next = null) {
  const button = part(name);
  if (rests && document.activeElement === button) (next ?? cells.get(current)?.figure)?.focus({ preventScroll: true });
  button.disabled = rests;
}
let takesBack = false; // whether the last press took something back
function history({ done, undone }) {
  for (const [name, can] of [['undo', done], ['redo', undone]]) if (can) rest(name, false);
  rest('undo', !done, undone ? part('redo') : null);
  rest('redo', !undone, done ? part('undo') : null);
  takesBack &&= undone !== '';
  put(part('history'), takesBack ? `Taken back: ${undone}` : done);
}

const names = new Intl.Collator(undefined, { numeric: true });
const SORTS = {
  added: (one, other) => one.n - other.n,
  name: (one, other) => names.compare(one.data.name, other.data.name) || one.n - other.n,
  worst: (one, other) => badness(other) - badness(one) || one.n - other.n,
};
const badness = cell => cell.data.found.reduce((sum, one) => sum + 1000 ** (2 - RANKS.indexOf(one.severity)), 0);

// Whoever sorts by the worst and mends it is not led away: until asked again, what is there stays where it is.
function sort(anew) {
  const by = part('sort').value, known = new Set(order), all = [...cells.values()];
  const sorted = all.sort(SORTS[by]).map(cell => cell.n);
  order = by !== 'worst' || anew ? sorted
    : [...order.filter(n => cells.has(n)), ...sorted.filter(n => !known.has(n))];
  let next = grid.firstChild;
  for (const n of order) {
    const { figure } = cells.get(n);
    if (figure === next) next = next.nextSibling;
    else grid.insertBefore(figure, next);
  }
}

// Another state of the set, in place of what is shown; what is being typed, moved or taken out stays so.
const going = new Set();
function arrange(now) {
  if (!now.set || (now.set === state.set && now.at < state.at)) return;
  const isOther = now.set !== state.set, there = new Set(now.cells.map(one => one.n));
  const at = order.indexOf(current), had = grid.contains(document.activeElement);
  state = now;
  for (const [n, cell] of cells) if (isOther || !there.has(n)) forget(cell);
  for (const data of now.cells) if (!going.has(data.n)) renew(data, now.at);
  if (isOther) { order = []; current = 0; going.clear(); }
  sort(isOther);
  fit();
  long();
  if (!cells.has(current)) go(order[Math.min(Math.max(at, 0), order.length - 1)], had);
  history(now.history);
  out(now.out);
  say();
  arranged();
}

function renew(data, at) {
  const cell = cells.get(data.n) ?? build(data), was = cell.data;
  if (was && (cell.asks || at < cell.told)) Object.assign(data, { crop: was.crop, mask: was.mask, caption: was.caption });
  if (!was || JSON.stringify(was) !== JSON.stringify(data)) show(cell, data);
  if (was && was.made !== data.made) { wanted.add(data.n); want(); } // its pixels are others
}

function forget(cell) {
  sight.unobserve(cell.figure);
  cell.figure.remove();
  cells.delete(cell.n);
  wanted.delete(cell.n);
}

function out(gone) {
  const place = part('out');
  place.hidden = !gone.length;
  place.querySelector('summary').textContent = `${counted(gone.length, 'picture')} taken out`;
  place.querySelector('ul').replaceChildren(...gone.map(one => {
    const row = make('li', ''), back = make('button', 'chip', { type: 'button', textContent: 'Put back' });
    back.addEventListener('click', () => turned('back', { n: one.n }));
    if (one.small) row.append(make('img', '', { src: one.small, alt: '', loading: 'lazy' }));
    row.append(make('span', '', { textContent: one.name }), back);
    return row;
  }));
}
