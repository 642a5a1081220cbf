// The keys of the drawing desk: Enter draws, Shift+Enter breaks the line, + and - move the strength that was last used.
const STEP = 0.05, WEAKEST = -2, STRONGEST = 2, LEFT = -1; // the slider shows -1 to 2; below it is typed
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

const stack = document.querySelector('#stack');
const arrange = () => {
  for (const range of stack.querySelectorAll('.stack-row input[type=range]')) {
    if (Number(range.min) !== LEFT) range.min = LEFT;
  }
};
new MutationObserver(arrange).observe(stack, { childList: true, subtree: true });
arrange();
