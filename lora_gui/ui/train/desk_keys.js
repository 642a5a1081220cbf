// Keys and the pointer at the desk: to move, to type, to move the crop, to take out, to undo.
const SETTLED = 700; // ms after the last change, before the rest of the page is told
const NUDGE = 0.1; // of what can be moved
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function go(n, focuses = true) {
  const was = cells.get(current), cell = cells.get(n);
  was?.figure.removeAttribute('aria-current');
  for (const one of [was, cell]) if (one) one.figure.tabIndex = one.area.tabIndex = one === cell ? 0 : -1;
  current = cell ? n : 0;
  cell?.figure.setAttribute('aria-current', 'true');
  if (cell && focuses) cell.figure.focus();
  detail();
}
const neighbour = by => order[order.indexOf(current) + by];

function write(n) {
  const cell = cells.get(n);
  if (!cell) return;
  go(n, false);
  cell.area.focus({ preventScroll: true });
  cell.area.setSelectionRange(cell.text.length, cell.text.length);
  cell.figure.scrollIntoView({ block: 'nearest' });
}

function typed(event) { // in a caption
  if (event.isComposing) return;
  if (event.key === 'Enter' && !event.shiftKey) {
    event.preventDefault();
    save();
    const next = neighbour(1);
    if (next) write(next);
    else go(current);
  } else if (event.key === 'Escape') {
    event.preventDefault();
    save();
    go(current);
  }
}

function crop(cell, x, y) {
  const inside = value => Math.min(1, Math.max(0, value));
  cell.data.crop = [inside(x), inside(y)];
  frame(cell);
  detail();
}
// Of the steps of a frame that have not been told yet, the last counts.
function cropped(cell, within) {
  if (cell.isCropped) return;
  cell.isCropped = true;
  tellOf(cell, () => {
    cell.isCropped = false;
    return { act: 'crop', n: cell.n, crop: cell.data.crop, within };
  });
}

function pressed(event) { // on a picture
  const arrow = ARROWS[event.key], cell = cells.get(current), isCommand = event.ctrlKey || event.metaKey;
  const act = isCommand && { z: event.shiftKey ? 'redo' : 'undo', Z: 'redo', y: 'redo' }[event.key];
  if (act) { save(); turned(act); }
  else if (isCommand || event.altKey) return;
  else if (arrow && event.shiftKey) {
    crop(cell, cell.data.crop[0] + NUDGE * arrow[0], cell.data.crop[1] + NUDGE * arrow[1]);
    cropped(cell, 'keys');
  } else if (arrow) go(neighbour(arrow[0] + columns * arrow[1]) ?? current);
  else if (event.key === 'Home' || event.key === 'End') go(event.key === 'Home' ? order[0] : order.at(-1));
  else if (event.key === 'Delete') remove();
  else if (event.key === 'Enter' || event.key === 'F2') write(current);
  else if (event.key === 'Escape') event.target.blur();
  else {
    if (event.key.length === 1) write(current); // and the letter goes where it belongs
    return;
  }
  event.preventDefault();
}

// The picture has gone before the window knows; where that refuses, it is there again.
async function remove() {
  const n = current, cell = cells.get(n), next = neighbour(1) ?? neighbour(-1);
  if (!cell) return;
  save();
  if (next) {
    going.add(n);
    go(next);
    forget(cell);
    order = order.filter(one => one !== n);
    say();
  }
  const kept = await send('out', { n });
  going.delete(n);
  if (kept && !kept.problem) others();
  else send('state');
}
// What is done again or taken back, of all that is there.
async function turned(act, more) {
  takesBack = act === 'undo';
  const kept = await send(act, more);
  if (kept && !kept.problem) others();
}
let then = 0;
function others() { // pictures, and the rest of the page hears of it once
  pages.postMessage(state.set);
  clearTimeout(then);
  then = setTimeout(() => trigger('select', {}), SETTLED);
}
// Another page that shows the same set asks how it stands: what is typed there shall not be typed over what is older.
const pages = new BroadcastChannel('desk');
let older = 0;
pages.onmessage = ({ data }) => {
  if (data !== state.set) return;
  clearTimeout(older);
  older = setTimeout(send, SETTLED, 'state');
};

grid.addEventListener('keydown', event => {
  if (event.target.matches('textarea')) typed(event);
  else if (event.target.matches('figure')) pressed(event);
});
grid.addEventListener('focusin', ({ target }) => {
  const { cell } = target.closest('figure') ?? {};
  if (!cell) return;
  if (cell.n !== current) go(cell.n, false);
  if (target === cell.area) cell.within = Date.now();
});
grid.addEventListener('input', ({ target }) => {
  const { cell } = target.closest('figure');
  cell.text = cell.area.value;
  cell.at = Date.now();
  clearTimeout(later);
  later = setTimeout(save, MOMENT);
  say();
});
grid.addEventListener('change', save);

// The frame of the crop is dragged with the picture under it.
let drag = null;
grid.addEventListener('pointerdown', event => {
  const shot = event.target.closest('.shot'), cell = shot?.closest('figure').cell;
  if (!cell || event.button) return;
  go(cell.n);
  if (cell.frame.hidden) return;
  const { width, height } = shot.getBoundingClientRect(), [wide, high] = cell.data.box, from = [...cell.data.crop];
  cell.asks += 1;
  drag = { cell, from, x: event.clientX, y: event.clientY, room: [width * (1 - wide), height * (1 - high)] };
  shot.setPointerCapture(event.pointerId);
  event.preventDefault();
});
grid.addEventListener('pointermove', event => {
  if (!drag) return;
  const by = [event.clientX - drag.x, event.clientY - drag.y];
  crop(drag.cell, ...[0, 1].map(axis => drag.room[axis] > 1 ? drag.from[axis] + by[axis] / drag.room[axis] : drag.from[axis]));
});
for (const end of ['pointerup', 'pointercancel']) grid.addEventListener(end, () => {
  if (drag) drag.cell.asks -= 1;
  if (drag && String(drag.from) !== String(drag.cell.data.crop)) cropped(drag.cell, '');
  drag = null;
});

const ACTS = {
  undo: () => turned('undo'), redo: () => turned('redo'), remove, mask: () => open(current),
  middle: () => { const cell = cells.get(current); crop(cell, 0.5, 0.5); cropped(cell, ''); },
  larger: ({ target }) => {
    const on = element.querySelector('.desk').classList.toggle('large');
    target.setAttribute('aria-pressed', on);
    wide(on);
    target.textContent = on ? 'Smaller' : 'Larger';
    cells.get(current)?.figure.scrollIntoView({ block: 'nearest' });
  },
};
element.addEventListener('click', event => ACTS[event.target.closest('button[data-do]')?.dataset.do]?.(event));
part('sort').addEventListener('change', () => {
  sort(true);
  grid.scrollTop = 0;
  if (order.length) go(order[0], false);
});
// Every row is as high as its pictures are wide and their captions need: no cell is laid out to know that.
function fit() {
  for (let times = 0; times < 2; times += 1) { // once more beside the bar to scroll by, which may have come
    const tracks = getComputedStyle(grid).gridTemplateColumns.split(' ');
    if (!tracks[0].endsWith('px')) return;
    columns = tracks.length;
    if (grid.style.getPropertyValue('--side') !== tracks[0]) grid.style.setProperty('--side', tracks[0]);
  }
}
const long = () => grid.classList.toggle('long', [...cells.values()].some(cell => cell.data.unread));
const wide = on => document.getElementById('setup')?.toggleAttribute('data-wide', on);
new ResizeObserver(() => requestAnimationFrame(fit)).observe(grid);
