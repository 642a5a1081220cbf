// The keys of the drawing desk: Enter draws, Shift+Enter breaks the line, + and - move the strength that was last used;
// where the focus goes, and that what was asked for comes into sight.
const STEP = 0.05, WEAKEST = -2, STRONGEST = 2;
const SOON = 5000; // ms in which what was pressed for comes
const isHere = () => document.querySelector('#prompt')?.checkVisibility();
let chosen = null;

function strengthen(by) {
  const rows = [...document.querySelectorAll('#stack .stack-row')].filter(row => row.checkVisibility());
  const row = rows.includes(chosen) ? chosen : rows[0], input = row?.querySelector('input[type=number]');
  if (!input) return false;
  choose(row);
  const next = Math.min(STRONGEST, Math.max(WEAKEST, Number(input.value) + by));
  input.value = Math.round(next * 100) / 100;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  return true;
}

function choose(row) {
  chosen?.classList.remove('chosen');
  chosen = row;
  chosen.classList.add('chosen');
}

document.addEventListener('keydown', event => {
  if (!isHere() || event.isComposing) return;
  const { key, target } = event, isPrompt = target.matches('#prompt textarea');
  const writes = target.matches('textarea, select, input:not([type=range], [type=checkbox], [type=radio])');
  if (key === 'Enter' && (event.ctrlKey || event.metaKey || (isPrompt && !event.shiftKey))) {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat) document.querySelector('#draw')?.click();
  } else if (key === 'Enter' && isPrompt) {
    event.stopImmediatePropagation(); // gradio's own text boxes send then
  } else if ((key === '+' || key === '-') && !writes && !event.ctrlKey && !event.metaKey && !event.altKey) {
    if (strengthen(key === '+' ? STEP : -STEP)) event.preventDefault();
  }
}, true);

document.addEventListener('focusin', ({ target }) => {
  const row = target.closest?.('#stack .stack-row');
  if (row && row !== chosen) choose(row);
});

// Of a slider's number that is emptied and left, gradio would make 0: a LoRA that does nothing.
let before = '';
const ofSlider = target => target.matches?.('#desk input[type=number]') && target.closest('.block')?.querySelector('input[type=range]');
document.addEventListener('focusin', ({ target }) => { if (ofSlider(target)) before = target.value; });
document.addEventListener('blur', ({ target }) => {
  if (!ofSlider(target) || target.value !== '') return;
  target.value = before;
  target.dispatchEvent(new Event('input', { bubbles: true }));
}, true);

// The shelf of LoRAs is searched as soon as it opens, and Escape closes it.
function search(until) {
  const field = document.querySelector('#picker-search :is(input, textarea)');
  if (field?.checkVisibility()) field.focus();
  else if (performance.now() < until) setTimeout(search, 50, until);
}
document.addEventListener('keydown', ({ key, target }) => {
  if (key === 'Escape' && target.closest?.('#picker')) document.querySelector('#picker-close').click();
});

// What was asked for is brought into sight once it is there: on a narrow page its place is far below.
function show(place) {
  const { top, bottom } = place.getBoundingClientRect(), seen = Math.min(bottom, innerHeight) - Math.max(top, 0);
  if (seen > 0.6 * Math.min(bottom - top, innerHeight)) return;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  place.scrollIntoView({ block: 'nearest', behavior: still ? 'auto' : 'smooth' });
}
let asked = -Infinity;
const awaits = new MutationObserver(changes => {
  if (performance.now() - asked > SOON) { awaits.disconnect(); return; }
  const place = document.querySelector('#stage'), isHere = place.querySelector('#easel, .sheet:not([hidden])');
  if (!isHere && !changes.some(({ target }) => target.matches('.frame'))) return;
  awaits.disconnect();
  if (!document.querySelector('#desk [aria-invalid=true]')) show(place); // else nothing is drawn
});
document.addEventListener('click', ({ target }) => {
  if (target.closest?.('#add-lora')) search(performance.now() + SOON);
  if (!target.closest?.('#draw, #draw-again, #grid-draw, #travel-draw')) return;
  asked = performance.now();
  awaits.observe(document.querySelector('#stage'), { childList: true, subtree: true, attributes: true, attributeFilter: ['hidden'] });
});
