// What is dropped outside of a place of its own while Generate is open: the whole page takes it.
const isHere = () => document.querySelector('#prompt')?.checkVisibility();
const brings = event => event.dataTransfer?.types.includes('Files') && isHere();
let sending = Promise.resolve(); // one drop after the other
const cover = on => document.body.classList.toggle('dropping', Boolean(on));

window.addEventListener('dragover', event => {
  if (!brings(event)) return;
  cover(!event.defaultPrevented); // else it has a place of its own
  event.preventDefault();
});
window.addEventListener('dragleave', event => { if (!event.relatedTarget) cover(false); });
window.addEventListener('drop', event => {
  cover(false);
  if (!brings(event) || event.defaultPrevented) return;
  event.preventDefault();
  const files = [...event.dataTransfer.files], work = () => send(files);
  if (files.length) sending = sending.then(work, work);
});

// A picture that is pasted is begun with: the clipboard keeps nothing of how it was made. A text is the field's.
document.addEventListener('paste', event => {
  const { types = [], files = [] } = event.clipboardData ?? {};
  const pasted = [...files].filter(file => file.type.startsWith('image/'));
  if (!pasted.length || types.includes('text/plain') || !isHere()) return;
  event.preventDefault();
  const work = () => send(pasted, pasted.length === 1);
  sending = sending.then(work, work);
});

async function send(files, begins = false) {
  const paths = [];
  let why = '';
  for (const file of files) {
    paths.push(await studio.copied(file).catch(error => { why ||= error.why || ''; return null; }));
  }
  trigger('upload', { paths, names: files.map(file => file.name), why, begins });
}
