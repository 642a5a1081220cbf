// A sheet in the place of the drawing: its cells fill as they are drawn, one is shown large, two stand on a slider.
const root = document.querySelector('#sheet .sheet'), wall = document.querySelector('#gallery');
const FEW = 4; // cells that fill the place together, two beside each other
let sheet = null, asked = null, name = '', large = null, cells = [], parts = {};

function make(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
function button(words, pressed, className = 'chip') {
  const made = make('button', className, words);
  made.type = 'button';
  made.addEventListener('click', pressed);
  return made;
}
const ask = (act, word = '') => trigger('select', { act, word: String(word) });
const label = n => [sheet.rows[Math.floor(n / sheet.columns.length)], sheet.columns[n % sheet.columns.length]]
  .filter(Boolean).join(', ');
const isPair = () => sheet.kind === 'compare' && sheet.cells.length === 2;

function build() {
  name = sheet.name;
  large = null;
  cells = [];
  const head = make('div', 'head'), foot = make('div', 'foot');
  parts = {
    told: make('p', 'told'), aloud: make('span', 'aloud'), said: make('ul', 'said'), body: make('div', 'body'), one: make('div', 'one'),
    stop: button('Stop', () => ask('stop')), whole: make('a', 'chip', 'Save the sheet'),
    play: button('Play', () => enlarge('moving')), moving: make('a', 'chip', 'Save what moves'),
    folder: button('Show in folder', () => ask('folder')), away: button('Delete', () => ask('delete')),
  };
  parts.aloud.setAttribute('role', 'status');
  Object.assign(parts.body, { tabIndex: 0, role: 'region', ariaLabel: sheet.title }); // scrolled by keys too
  const ways = make('span', 'ways');
  ways.append(parts.stop, button('Close', close));
  head.append(make('h3', 'group', sheet.title), parts.told, parts.aloud, ways);
  foot.append(parts.said, parts.play, parts.whole, parts.moving, parts.folder, parts.away);
  if (!isPair()) parts.body.append(table());
  root.replaceChildren(head, parts.body, parts.one, foot);
}

// Where nothing changes from row to row, the cells wrap, each under its own label.
function table() {
  const isStrip = sheet.rows.length === 1, made = make('div', isStrip ? 'cells wraps' : 'cells');
  made.classList.toggle('few', isStrip && sheet.cells.length > 2 && sheet.cells.length <= FEW);
  if (!isStrip) {
    made.style.setProperty('--columns', sheet.columns.length);
    made.append(make('span', 'corner'), ...sheet.columns.map(words => make('span', 'says', words)));
  }
  sheet.cells.forEach((_, n) => {
    if (!isStrip && n % sheet.columns.length === 0) made.append(make('span', 'says row', sheet.rows[n / sheet.columns.length]));
    const cell = button('', () => enlarge(n), 'cell');
    cells.push(cell);
    if (isStrip) {
      const place = make('div', 'place');
      place.append(make('span', 'says', label(n)), cell);
      made.append(place);
    } else made.append(cell);
  });
  return made;
}

function update() {
  cells.forEach((cell, n) => {
    const { small, why } = sheet.cells[n], image = cell.querySelector('img');
    cell.disabled = !small;
    cell.title = why;
    cell.setAttribute('aria-label', `${label(n)}${small ? '' : why ? `: ${why}` : ', not drawn yet'}`);
    if (small && image?.getAttribute('src') !== small) cell.replaceChildren(picture(small));
    else if (why && !cell.textContent) cell.textContent = 'Not drawn';
  });
  if (isPair() && !parts.body.firstChild && sheet.cells.every(cell => cell.whole)) parts.body.append(pair());
  parts.told.textContent = sheet.told;
  const once = sheet.told.replace(/, step .*/, ''); // each drawing is said aloud, and not each step
  if (parts.aloud.textContent !== once) parts.aloud.textContent = once;
  parts.said.replaceChildren(...sheet.said.map(words => make('li', '', words)));
  parts.stop.hidden = !sheet.draws;
  parts.away.hidden = sheet.draws;
  parts.play.hidden = !sheet.moving;
  for (const [link, address] of [[parts.whole, sheet.whole], [parts.moving, sheet.moving]]) {
    link.hidden = !address || sheet.draws;
    if (!link.hidden) Object.assign(link, { href: address, download: address.split('/').pop() });
  }
  show();
}

function picture(address) {
  const image = new Image();
  image.src = address;
  image.alt = '';
  return image;
}

function pair() {
  const frame = make('div', 'frame'), both = make('div', 'compared'), range = make('input', ''), ends = make('div', 'ends');
  Object.assign(range, { type: 'range', min: 0, max: 100, value: 50, ariaLabel: 'From the base to your LoRA' });
  range.addEventListener('input', () => both.style.setProperty('--at', `${range.value}%`));
  const images = sheet.cells.map(cell => picture(cell.whole));
  images.forEach((image, n) => { image.alt = label(n); });
  both.append(...images, range);
  ends.append(...sheet.columns.map(words => make('span', '', words)));
  frame.append(both);
  const made = make('div', 'pair');
  made.append(frame, ends);
  return made;
}

function enlarge(n) {
  large = n;
  show();
  parts.one.querySelector('button')?.focus();
}

function show() {
  parts.body.hidden = large !== null;
  parts.one.hidden = large === null;
  if (large === null || parts.one.dataset.shown === `${name} ${large}`) return;
  parts.one.dataset.shown = `${name} ${large}`;
  const isMoving = large === 'moving', frame = make('div', 'frame'), acts = make('div', 'acts');
  const image = picture(isMoving ? sheet.moving : sheet.cells[large].whole);
  image.alt = isMoving ? sheet.title : label(large);
  frame.append(image);
  acts.append(button('Back to the sheet', back));
  if (!isMoving) acts.append(button('Use these settings', () => ask('use', large)));
  acts.append(make('span', 'says', image.alt));
  parts.one.replaceChildren(frame, acts);
}

function back() {
  const was = large;
  large = null;
  delete parts.one.dataset.shown;
  show();
  (cells[was] || parts.play).focus();
}

function close() {
  root.hidden = true;
  ask('close');
}

function turn(by) {
  if (typeof large !== 'number') return;
  let n = large + by;
  while (sheet.cells[n] && !sheet.cells[n].whole) n += by;
  if (sheet.cells[n]) enlarge(n);
}

function arrange() {
  sheet = props.value ? JSON.parse(props.value) : null;
  root.hidden = !sheet;
  if (!sheet) { name = ''; asked ??= 0; return; }
  if (sheet.name !== name) build();
  update();
  const { top } = root.getBoundingClientRect(), isAskedFor = asked !== null && sheet.asked !== asked;
  asked = sheet.asked;
  if (isAskedFor && (top < 0 || top > innerHeight / 2)) root.scrollIntoView({ block: 'start' });
}

document.addEventListener('keydown', event => {
  if (!sheet || !root.checkVisibility() || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.matches('input, textarea, select, [role=tab], [role=option]')) return;
  if (document.querySelector('dialog[open]')) return; // it stands in front, and Escape is its own
  if (event.key === 'Escape') { if (large === null) close(); else back(); }
  else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') turn(event.key === 'ArrowLeft' ? -1 : 1);
  else return;
  event.preventDefault();
  event.stopImmediatePropagation(); // the drawings behind it stay where they are
}, true);
wall.addEventListener('click', event => { if (sheet && event.target.closest('.thumbnail-item')) close(); });
watch('value', arrange);
arrange();
