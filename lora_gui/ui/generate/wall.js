// One drawing of the wall shown large: chosen by a click, by the arrows, or because it was just drawn; compared with
// another one; copied. What changes anything is asked of the window.
const wall = document.querySelector('#gallery'), figure = element.querySelector('.shown');
const frame = figure.querySelector('.frame'), told = figure.querySelector('.told');
const items = () => [...wall.querySelectorAll('.thumbnail-item')];
const button = act => figure.querySelector(`[data-do=${act}]`);
const APART = ['', 'Base | LoRA', 'Base | A | B | A+B', 'Base | each | all'];
let shown = '', newest = '', compares = false, turned = 0;

// Comes into the place once its size is known, so that it does not jump; at twice that size at most.
async function picture(item) {
  const image = new Image();
  image.alt = item.getAttribute('aria-label');
  image.src = item.dataset.whole;
  await image.decode().catch(() => {}); // one that is damaged is shown as such
  image.style.maxWidth = `min(100%, ${2 * image.naturalWidth || 200}px)`;
  image.style.maxHeight = `min(100%, ${2 * image.naturalHeight || 200}px)`;
  return image;
}

function show(item) {
  const was = items().find(one => one.dataset.name === shown);
  for (const one of items()) one.toggleAttribute('aria-current', one === item);
  if (compares && was && was !== item) { beside(was, item); return; }
  const changed = shown !== item.dataset.name;
  shown = item.dataset.name;
  if (changed || compares) {
    picture(item).then(image => { if (shown === item.dataset.name) frame.replaceChildren(image); });
    told.textContent = '';
    compare(false);
  }
  for (const part of ['words', 'facts']) {
    const line = figure.querySelector(`.${part}`);
    line.textContent = line.title = item.dataset[part]; // it may be cut
  }
  const apart = figure.querySelector('[data-use=apart]'), count = Number(item.dataset.loras);
  apart.hidden = !count;
  apart.textContent = APART[Math.min(count, 3)];
  button('star').setAttribute('aria-pressed', item.classList.contains('starred'));
}

function compare(on) {
  compares = on;
  button('compare').setAttribute('aria-pressed', on);
  if (on) told.textContent = 'Choose the other one.';
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
  told.textContent = `Left: ${one.dataset.facts || one.dataset.words}. Right: ${other.dataset.facts || other.dataset.words}.`;
  compare(false);
  shown = one.dataset.name;
}

function arrange() {
  const there = items(), first = there[0];
  figure.hidden = !there.length && !shown;
  element.querySelector('#no-drawings').hidden = !figure.hidden;
  if (!there.length) return; // none fits what is looked for; what is shown stays
  const isNew = first.dataset.name > newest;
  if (isNew) newest = first.dataset.name;
  const by = turned;
  turned = 0;
  if (by && !there.some(one => one.dataset.name === shown)) { show(by > 0 ? first : there.at(-1)); return; }
  const kept = there.find(one => one.dataset.name === shown);
  if (isNew || !kept) show(first);
  else if (!frame.querySelector('.compared')) show(kept);
}

async function copy(item) {
  try {
    const blob = await (await fetch(item.dataset.whole)).blob();
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
    told.textContent = 'Copied.';
  } catch { told.textContent = 'This browser does not let it be copied; show it in its folder.'; }
}

wall.addEventListener('click', event => {
  const item = event.target.closest('.thumbnail-item');
  if (item) show(item);
});
element.addEventListener('click', event => {
  const pressed = event.target.closest('button'), item = items().find(one => one.dataset.name === shown);
  if (!pressed || !shown) return;
  if (pressed.dataset.use) trigger('input', { act: pressed.dataset.use, name: shown });
  else if (pressed.dataset.do === 'compare') compare(!compares);
  else if (pressed.dataset.do === 'copy') { if (item) copy(item); }
  else trigger('select', { act: pressed.dataset.do, name: shown });
});
document.addEventListener('keydown', event => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key], there = items();
  if (!by || !there.length || !wall.checkVisibility() || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.matches('input, textarea, select, [role=tab], [role=option]')) return;
  const next = there[there.findIndex(one => one.dataset.name === shown) + by];
  if (!next) { // on to the next page, where there is one
    turned = by;
    wall.querySelectorAll('.pager button')[by > 0 ? 1 : 0]?.click();
    return;
  }
  event.preventDefault();
  show(next);
  if (wall.contains(document.activeElement)) next.focus();
  next.scrollIntoView({ block: 'nearest' });
});
new MutationObserver(arrange).observe(wall, { childList: true, subtree: true });
arrange();
