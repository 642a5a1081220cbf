// What is dropped outside of a place of its own: on Generate the whole page takes it, elsewhere the zone in sight does;
// nowhere does the browser open it in place of the window.
const isHere = () => document.querySelector('#prompt')?.checkVisibility();
const brings = event => event.dataTransfer?.types.includes('Files');
const cover = on => document.body.classList.toggle('dropping', Boolean(on && isHere()));

window.addEventListener('dragover', event => {
  if (!brings(event)) return;
  cover(!event.defaultPrevented); // else it has a place of its own
  event.preventDefault();
});
window.addEventListener('dragleave', event => { if (!event.relatedTarget) cover(false); });
window.addEventListener('drop', async event => {
  cover(false);
  if (!brings(event) || event.defaultPrevented) return;
  event.preventDefault();
  if (!isHere()) {
    const zone = [...document.querySelectorAll('.zone')].find(one => one.checkVisibility());
    zone?.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: event.dataTransfer }));
    return;
  }
  const file = event.dataTransfer.files[0];
  if (!file) return;
  const copy = await studio.copied(file).catch(error => ({ why: error.why || '' }));
  trigger('upload', { paths: copy.why === undefined ? [copy] : [], names: [file.name], why: copy.why || '' });
});
