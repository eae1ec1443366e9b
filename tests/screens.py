"""What a browser is asked of a page: whether all of it can be read, and whether it fits."""

# WCAG 2: the contrast of every text that is shown against what lies behind it; what is below 4.5 is returned.
CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const paint = colours => {
    for (const colour of ["white", ...colours]) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const poor = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const element = text.parentElement;
    if (!text.data.trim() || element.getClientRects().length === 0) continue;
    const grounds = [];
    for (let e = element; e; e = e.parentElement) grounds.unshift(getComputedStyle(e).backgroundColor);
    const [dim, bright] = [paint(grounds), paint([...grounds, getComputedStyle(element).color])]
      .map(luminance).sort((x, y) => x - y);
    const ratio = (bright + .05) / (dim + .05);
    if (ratio < 4.5) poor.push(`${text.data.trim().slice(0, 30)} ${ratio.toFixed(2)} ${element.className}`);
  }
  return poor;
})()
"""
TOO_WIDE = """
[...document.querySelectorAll("body *")]
  .filter(e => e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + .5)
  .map(e => e.tagName + "." + e.className)
"""
