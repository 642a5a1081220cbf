// The picture desk: every picture of a set with its caption under it, moved between by keys. What is typed is sent a
// moment later, and at the latest when the page is left; a picture is fetched once its cell comes into sight.
const MOMENT = 300, PATIENCE = 5000, TOGETHER = 24; // ms; ms; small copies that are asked for at once
const SIGNS = { high: '▲', medium: '◆', low: '○' }, RANKS = ['high', 'medium', 'low'];
const grid = element.querySelector('.pictures'), about = element.querySelector('.about');
const part = name => element.querySelector(`.${name}`);
const cells = new Map(); // by the numbers of their pictures
let state = { set: '', cells: [] }, order = [], current = 0, later = 0, asked = -Infinity, columns = 1;
const wanted = new Set();

const counted = (count, one) => `${count} ${one}${count === 1 ? '' : 's'}`;
const words = text => text.split(/\s+/).filter(Boolean).length;
const send = (act, more) => trigger('select', { act, set: state.set, ...more });
const dirty = () => [...cells.values()].filter(cell => cell.area.value !== cell.saved);

function make(tag, className, more = {}) {
  return Object.assign(document.createElement(tag), { className }, more);
}

// A cell knows what it shows, what of its caption the window has, and since when it is typed in.
function build(data) {
  const figure = make('figure', 'cell', { role: 'listitem', tabIndex: -1 }), place = make('div', 'place');
  const shot = make('div', 'shot'), frame = make('div', 'crop'), badge = make('span', 'badge');
  const area = make('textarea', '', { rows: 2, tabIndex: -1 }), unread = make('span', 'unread');
  shot.append(frame);
  place.append(shot, badge);
  figure.append(place, area, unread);
  const cell = { n: data.n, figure, shot, frame, badge, area, unread, saved: data.caption, sent: data.caption, at: 0, within: 0 };
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
  if (area.value === cell.saved && area.value !== data.caption) area.value = data.caption;
  if (area.value === data.caption) cell.saved = cell.sent = data.caption;
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
  const { data, area } = cell, worst = data.found[0];
  cell.figure.ariaLabel = `${data.name}${worst ? `, ${worst.says}` : ''}. ${area.value || 'No caption'}`;
}

// The last words of a caption that the base does not read.
function unread(cell, count) {
  const last = count ? cell.area.value.split(/\s+/).filter(Boolean).slice(-count).join(' ') : '';
  cell.data.unread = count;
  cell.unread.textContent = last ? `Not read: ${last}` : '';
  cell.unread.title = last;
}

function frame(cell) {
  const { box: [wide, high], crop: [x, y] } = cell.data;
  cell.frame.hidden = wide > 0.995 && high > 0.995;
  cell.shot.classList.toggle('moves', !cell.frame.hidden);
  cell.frame.style.cssText = `left:${100 * x * (1 - wide)}%;top:${100 * y * (1 - high)}%;width:${100 * wide}%;height:${100 * high}%`;
}

// Pictures come when their cells come into sight.
const sight = new IntersectionObserver(seen => {
  for (const { target, isIntersecting } of seen) {
    if (!isIntersecting || target.querySelector('img')) continue;
    wanted.add(target.cell.n);
  }
  want();
}, { root: grid, rootMargin: '240px' });

function want() {
  if (!wanted.size || performance.now() - asked < PATIENCE) return;
  asked = performance.now();
  trigger('tick', { set: state.set, numbers: [...wanted].slice(0, TOGETHER) });
  setTimeout(want, PATIENCE + 50);
}

function came(small) {
  asked = -Infinity;
  for (const [n, address] of Object.entries(small)) {
    const cell = cells.get(Number(n));
    wanted.delete(Number(n));
    if (!cell) continue;
    const image = cell.shot.querySelector('img') ?? cell.shot.insertBefore(make('img', '', { alt: '', draggable: false }), cell.frame);
    if (address) image.src = address;
    else image.remove();
  }
  want();
}

// What the window says of a caption, or where small copies lie.
studio.desk = kept => {
  if (!kept || kept.set !== state.set) return;
  if (kept.small) came(kept.small);
  if (kept.board) shown(kept.board);
  const cell = cells.get(kept.n);
  if (!cell) return;
  if (cell.area.value === kept.typed) {
    if (document.activeElement !== cell.area) cell.area.value = kept.caption;
    cell.saved = cell.area.value;
    unread(cell, kept.unread);
  }
  history(kept.history);
  say();
  studio.judges(`${kept.set} ${kept.n} ${kept.caption}`);
};

function caption(cell) {
  cell.sent = cell.area.value;
  return { act: 'caption', set: state.set, n: cell.n, words: cell.area.value, within: cell.within, at: cell.at };
}
function save() {
  clearTimeout(later);
  const late = dirty();
  for (const cell of late) if (cell.sent !== cell.area.value || Date.now() - cell.at > PATIENCE) trigger('input', caption(cell));
  if (late.length) later = setTimeout(save, PATIENCE + 50); // an answer may be lost
}
studio.leaving('desk', () => {
  for (const cell of dirty()) studio.beacon('desk', caption(cell));
  left();
});

function say() {
  part('kept').textContent = !later ? '' : dirty().length ? '' : 'Kept.';
  const count = document.querySelector('[data-count]'), all = [...cells.values()];
  if (count) count.textContent = tally(all.length, all.filter(cell => cell.area.value.trim()).length);
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
  facts.push(counted(words(cell.area.value), 'word'), ...(data.mask ? ['with a mask'] : []));
  part('facts').textContent = facts.join(' · ');
  part('found').textContent = data.found.map(one => `${SIGNS[one.severity]} ${one.says}`).join(' ') || data.problem;
  part('middle').disabled = data.crop[0] === 0.5 && data.crop[1] === 0.5;
}

function history({ done, undone }) {
  part('undo').disabled = !done;
  part('redo').disabled = !undone;
  part('history').textContent = done;
}

const SORTS = {
  added: (one, other) => one.n - other.n,
  name: (one, other) => one.data.name.localeCompare(other.data.name, undefined, { numeric: true }) || one.n - other.n,
  worst: (one, other) => badness(other) - badness(one) || one.n - other.n,
};
const badness = cell => cell.data.found.reduce((sum, one) => sum + 1000 ** (2 - RANKS.indexOf(one.severity)), 0);

// Whoever sorts by the worst and mends it is not led away: until asked again, what is there stays where it is.
function sort(anew) {
  const by = part('sort').value, known = new Set(order), all = [...cells.values()];
  const sorted = all.sort(SORTS[by]).map(cell => cell.n);
  order = by !== 'worst' || anew ? sorted
    : [...order.filter(n => cells.has(n)), ...sorted.filter(n => !known.has(n))];
  order.forEach((n, at) => {
    const { figure } = cells.get(n);
    if (grid.children[at] !== figure) grid.insertBefore(figure, grid.children[at] ?? null);
  });
}

// Another state of the set, in place of what is shown; what is being typed stays.
function arrange() {
  const now = JSON.parse(props.value || '{}');
  if (!now.set) return;
  const isOther = now.set !== state.set, there = new Set(now.cells.map(one => one.n));
  const at = order.indexOf(current), had = grid.contains(document.activeElement);
  state = now;
  for (const [n, cell] of cells) {
    if (!isOther && there.has(n)) continue;
    cell.figure.remove();
    cells.delete(n);
    wanted.delete(n);
  }
  for (const data of now.cells) {
    const cell = cells.get(data.n) ?? build(data), was = cell.data;
    if (was && cell.moving) data.crop = was.crop; // it goes on being moved
    show(cell, data);
    if (was && was.made !== data.made) { wanted.add(data.n); want(); } // its pixels are others
  }
  if (isOther) { order = []; current = 0; asked = -Infinity; }
  sort(isOther);
  if (!cells.has(current)) go(order[Math.min(Math.max(at, 0), order.length - 1)], had);
  history(now.history);
  out(now.out);
  say();
}

function out(gone) {
  const place = part('out');
  place.hidden = !gone.length;
  place.querySelector('summary').textContent = `${counted(gone.length, 'picture')} taken out`;
  place.querySelector('ul').replaceChildren(...gone.map(one => {
    const row = make('li', ''), back = make('button', 'chip', { type: 'button', textContent: 'Put back' });
    back.addEventListener('click', () => send('back', { n: one.n }));
    if (one.small) row.append(make('img', '', { src: one.small, alt: '', loading: 'lazy' }));
    row.append(make('span', '', { textContent: one.name }), back);
    return row;
  }));
}
