// Every visible text of a page whose contrast to what lies behind it is below 4.5, by WCAG 2.2's formula; and every
// empty box to tick whose outline has less than 3.
() => {
  const parse = colour => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return colour.startsWith('color(srgb') ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const chain = element => { const all = []; for (let one = element; one; one = one.parentElement) all.unshift(one); return all; };
  function behind(element) {
    let colour = [255, 255, 255, 1];
    for (const one of chain(element)) colour = over(parse(getComputedStyle(one).backgroundColor), colour);
    return colour;
  }
  function ratio(element, colour) {
    const back = behind(element), opacity = chain(element).reduce((all, one) => all * Number(getComputedStyle(one).opacity), 1);
    const [r, g, b, a] = parse(colour), front = over([r, g, b, a * opacity], back);
    const [dark, bright] = [light(front), light(back)].sort((one, other) => one - other);
    return (bright + 0.05) / (dark + 0.05);
  }
  const found = [], seen = element => {
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    return element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && box.width > 1 && box.height > 1
      && style.fontSize !== '0px' && !style.clipPath.startsWith('inset');
  };
  const judge = (element, colour, words, least = 4.5) => {
    const value = ratio(element, colour);
    if (value < least) found.push(`${value.toFixed(2)} ${words.trim().slice(0, 40)} (${element.tagName} ${element.className})`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (node.data.trim() && !['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName) && seen(element)) {
      judge(element, getComputedStyle(element).color, node.data);
    }
  }
  for (const field of document.querySelectorAll('input:not([type=checkbox], [type=radio], [type=range]), textarea')) {
    if (!seen(field)) continue;
    if (field.value) judge(field, getComputedStyle(field).color, field.value);
    else if (field.placeholder) judge(field, getComputedStyle(field, '::placeholder').color, field.placeholder);
  }
  for (const box of document.querySelectorAll(':is([type=checkbox], [type=radio]):not(:checked)')) {
    const { appearance, borderTopColor } = getComputedStyle(box);
    if (seen(box) && appearance === 'none') judge(box, borderTopColor, `outline of ${box.parentElement.textContent}`, 3);
  }
  return found;
}
