// The line in the taggram goes along with the player, and a click on a strip moves the player.
// The player is an audio element that the page makes and never shows, so it is noted down when it is made.
(() => {
  let player = null;
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function (name, ...rest) {
    const element = create.call(this, name, ...rest);
    if (String(name).toLowerCase() === "audio") player = element;
    return element;
  };
  const follow = () => {
    requestAnimationFrame(follow);
    const taggram = document.querySelector(".zoo-taggram");
    if (!taggram || !player) return;
    const at = player.currentTime / taggram.dataset.duration;
    if (taggram.shownAt === at || !(at >= 0 && at <= 1.02)) return;
    taggram.shownAt = at;
    const cursor = taggram.querySelector(".zoo-cursor");
    cursor.hidden = at === 0;
    cursor.style.left = `${100 * Math.min(at, 1)}%`;
    taggram.percents ??= JSON.parse(taggram.dataset.percents);
    taggram.querySelectorAll(".zoo-now").forEach((now, row) => {
      const scores = taggram.percents[row];
      now.textContent = at === 0 ? "" : `${scores[Math.min(scores.length - 1, Math.floor(at * scores.length))]} %`;
    });
  };
  requestAnimationFrame(follow);
  document.addEventListener("click", (event) => {
    const strips = event.target.closest(".zoo-strips");
    if (!strips || !player) return;
    const box = strips.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    player.currentTime = share * strips.parentElement.dataset.duration;
  });
})();
