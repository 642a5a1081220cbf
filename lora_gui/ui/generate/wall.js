// One drawing of the wall shown large: chosen by a click, by the arrows, or because it was just drawn; compared with
// another one; copied. What changes anything is asked of the window.
const wall = document.querySelector('#gallery'), figure = element.querySelector('.shown');
const frame = figure.querySelector('.frame'), told = figure.querySelector('.told');
const items = () => [...wall.querySelectorAll('.thumbnail-item')];
const button = act => figure.querySelector(`[data-do=${act}]`);
const CHOOSE = 'Choose the other one.';
const APART = ['', 'Base | LoRA', 'Base | A | B | A+B', 'Base | each | all'];
let shown = null, newest = '', compares = false, turned = 0; // `shown` is what is told of a drawing, listed or not

// Comes into the place once its size is known, so that it does not jump; at twice that size at most.
async function picture(one) {
  const image = new Image();
  image.alt = one.words;
  image.src = one.whole;
  await image.decode().catch(() => {}); // one that is damaged is shown as such
  image.style.maxWidth = `min(100%, ${2 * image.naturalWidth || 200}px)`;
  image.style.maxHeight = `min(100%, ${2 * image.naturalHeight || 200}px)`;
  return image;
}

function show(one) {
  if (compares && shown && shown.name !== one.name) { beside(shown, one); return; }
  if (compares || shown?.name !== one.name) {
    picture(one).then(image => { if (shown?.name === one.name) frame.replaceChildren(image); });
    told.textContent = '';
    compare(false);
  }
  tell(one);
}

function tell(one) {
  shown = one;
  for (const item of items()) item.toggleAttribute('aria-current', item.dataset.name === one.name);
  for (const part of ['words', 'facts']) {
    const line = figure.querySelector(`.${part}`);
    line.textContent = line.title = one[part]; // it may be cut
  }
  const apart = figure.querySelector('[data-use=apart]'), count = Number(one.loras);
  apart.hidden = !count;
  apart.textContent = APART[Math.min(count, 3)];
  button('star').setAttribute('aria-pressed', Boolean(one.star));
}

function compare(on) {
  compares = on;
  button('compare').setAttribute('aria-pressed', on);
  if (on) told.textContent = CHOOSE;
  else if (told.textContent === CHOOSE) told.textContent = '';
}

function beside(one, other) {
  const both = document.createElement('div'), range = document.createElement('input');
  both.className = 'compared';
  Object.assign(range, { type: 'range', min: 0, max: 100, value: 50, ariaLabel: 'From one drawing to the other' });
  range.addEventListener('input', () => both.style.setProperty('--at', `${range.value}%`));
  Promise.all([picture(one), picture(other)]).then(images => {
    const least = side => 2 * Math.min(...images.map(image => image[side] || 100)); // each at twice its size at most
    both.style.maxWidth = `${least('naturalWidth')}px`;
    both.style.maxHeight = `${least('naturalHeight')}px`;
    both.append(...images, range);
    frame.replaceChildren(both);
  });
  told.textContent = `Left: ${one.facts || one.words}. Right: ${other.facts || other.words}.`;
  compare(false);
}

// What is shown stays while none fits what is looked for, and goes once it is no more.
function arrange() {
  const { there, gone } = JSON.parse(wall.querySelector('[data-beside]')?.dataset.beside || '{"there":[]}');
  const listed = items().map(item => ({ ...item.dataset })), known = [...listed, ...there], by = turned;
  turned = 0;
  if (shown?.name === gone) shown = null;
  const kept = known.find(one => one.name === shown?.name);
  const latest = known.reduce((one, other) => (one.name >= other.name ? one : other), { name: newest });
  if (latest.name > newest) {
    studio.drawn(latest.words, newest !== '');
    newest = latest.name;
    show(latest);
  } else if (kept) tell(kept);
  else if (known.length && (listed.length || !shown)) show(listed.at(by < 0 ? -1 : 0) ?? known[0]);
  figure.hidden = !shown;
  element.querySelector('#no-drawings').hidden = Boolean(shown);
}

async function copy(one) {
  try {
    const blob = await (await fetch(one.whole)).blob();
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
    told.textContent = 'Copied.';
  } catch { told.textContent = 'This browser does not let it be copied; show it in its folder.'; }
}

wall.addEventListener('click', event => {
  const item = event.target.closest('.thumbnail-item');
  if (item) show({ ...item.dataset });
});
element.addEventListener('click', event => {
  const pressed = event.target.closest('button');
  if (!pressed || !shown) return;
  if (pressed.dataset.use) trigger('input', { act: pressed.dataset.use, name: shown.name });
  else if (pressed.dataset.do === 'compare') compare(!compares);
  else if (pressed.dataset.do === 'copy') copy(shown);
  else if (pressed.dataset.do !== 'delete' || event.detail < 2) { // a double click deletes one drawing
    trigger('select', { act: pressed.dataset.do, name: shown.name });
  }
});
// A drawing that is dragged onto Start from a picture is begun with.
let dragged = '';
for (const part of [wall, frame]) {
  part.addEventListener('dragstart', ({ target }) => { dragged = target.closest('[data-name]')?.dataset.name ?? shown.name; });
  part.addEventListener('dragend', () => { dragged = ''; });
}
for (const kind of ['dragover', 'drop']) document.addEventListener(kind, event => {
  if (!dragged || !event.target.closest?.('#begin')) return;
  event.preventDefault();
  if (kind === 'drop') trigger('input', { act: 'change', name: dragged });
});
document.addEventListener('keydown', event => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key], there = items();
  if (!by || !there.length || !wall.checkVisibility() || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.matches('input, textarea, select, [role=tab], [role=option]')) return;
  if (document.querySelector('dialog[open]')) return;
  const next = there[there.findIndex(one => one.dataset.name === shown?.name) + by];
  if (!next) { // on to the next page, where there is one
    const turn = wall.querySelectorAll('.pager button')[by > 0 ? 1 : 0];
    turned = turn && !turn.disabled ? by : 0;
    turn?.click();
    return;
  }
  event.preventDefault();
  show({ ...next.dataset });
  if (wall.contains(document.activeElement)) next.focus();
  next.scrollIntoView({ block: 'nearest' });
});
// Gradio changes what stands there into what comes, so that often nothing but attributes and texts are others.
const WHAT = ['data-name', 'data-star', 'data-beside', 'aria-current'];
new MutationObserver(arrange).observe(wall, { childList: true, subtree: true, attributeFilter: WHAT });
arrange();
