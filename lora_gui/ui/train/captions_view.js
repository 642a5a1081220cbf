// What is done to many captions is chosen in the form; what was accepted or rejected leaves the list at once.
function fit() {
  const way = element.querySelector('select')?.selectedOptions[0];
  if (!way) return;
  for (const name of ['one', 'other']) {
    const field = element.querySelector(`input.${name}`), label = way.dataset[name];
    field.hidden = !label;
    field.placeholder = label;
    field.setAttribute('aria-label', label);
  }
}

function show() {
  const said = selector => element.querySelector(selector).value;
  trigger('select', { act: 'show', way: said('select'), one: said('.one'), other: said('.other') });
}

function settle(act, rows) {
  const of = row => [row.dataset.file, row.dataset.label, row.dataset.was, row.querySelector('textarea').value];
  const set = element.querySelector('[data-set]').dataset.set, chosen = rows.map(of);
  const next = rows.length === 1 && (rows[0].nextElementSibling || rows[0].previousElementSibling);
  for (const row of rows) row.remove();
  if (next) next.querySelector('button').focus();
  else if (!element.querySelector('li')) element.querySelector('[data-set]').remove();
  trigger('select', { act, set, rows: chosen, left: element.querySelectorAll('li').length });
}

element.addEventListener('change', fit);
element.addEventListener('keydown', event => { if (event.key === 'Enter' && event.target.matches('input')) show(); });
element.addEventListener('click', ({ target }) => {
  const act = target.closest('button[data-act]')?.dataset.act;
  if (act === 'show') show();
  else if (act === 'accept' || act === 'reject') settle(act, [target.closest('li')]);
  else if (act) settle(act === 'all' ? 'accept' : 'reject', [...element.querySelectorAll('li')]);
});
fit();
