// What describes the pictures is looked for once the form is opened; what it says of itself follows the choice.
function fit() {
  const chosen = element.querySelector('select')?.selectedOptions[0];
  if (!chosen) return;
  const { says, one, does } = chosen.dataset, field = element.querySelector('.one');
  element.querySelector('.says').textContent = says;
  field.hidden = !one;
  field.placeholder = one;
  field.setAttribute('aria-label', one);
  element.querySelector('button').textContent = does;
  for (const label of element.querySelectorAll('label')) label.hidden = does !== 'Suggest';
}

function begin() {
  const box = name => Boolean(element.querySelector(name)?.checked), source = element.querySelector('select').value;
  trigger('select', { act: 'begin', source, one: element.querySelector('.one').value, also: box('.also'), slow: box('.slow') });
}

element.addEventListener('toggle', ({ target }) => {
  if (target.open && !element.querySelector('select')) trigger('select', { act: 'open' });
}, true);
element.addEventListener('change', fit);
element.addEventListener('keydown', event => { if (event.key === 'Enter' && event.target.matches('.one')) begin(); });
element.addEventListener('click', ({ target }) => {
  const act = target.closest('button[data-act]')?.dataset.act;
  if (act === 'begin') begin();
  else if (act) trigger('select', { act });
});
let seen = null; // the choice as it was drawn last
new MutationObserver(() => {
  const now = element.querySelector('select');
  if (now !== seen) { seen = now; fit(); }
}).observe(element, { childList: true, subtree: true });
