// Captions are sent a moment after they were typed, and at the latest when the page is left; then each is quietly kept.
const MOMENT = 400; // ms
let later = 0;

const typed = () => [...element.querySelectorAll('textarea')].filter(area => area.value !== area.defaultValue);
const told = area => {
  area.dataset.sent = area.value;
  return { set: area.dataset.set, index: Number(area.dataset.index), caption: area.value, at: Number(area.dataset.at) };
};

function send() {
  clearTimeout(later);
  for (const area of typed()) if (area.dataset.sent !== area.value) trigger('input', told(area));
  say();
}

function say() {
  const line = element.querySelector('.kept');
  if (line) line.textContent = typed().length ? '' : 'Kept.';
}

element.addEventListener('input', ({ target }) => {
  target.dataset.at = Date.now();
  clearTimeout(later);
  later = setTimeout(send, MOMENT);
  say();
});
element.addEventListener('change', send);
studio.leaving('captions', () => { for (const area of typed()) studio.beacon('captions', told(area)); });
studio.captioned = kept => {
  for (const area of element.querySelectorAll('textarea')) {
    if (area.dataset.set === kept?.set && Number(area.dataset.index) === kept.index) area.defaultValue = kept.caption;
  }
  say();
};
