// The line in the taggram goes along with the player, a click on it moves the player, and a file that is too
// large is refused before it is sent.
(() => {
  const player = () => document.querySelector("#zoo-audio audio[src]");
  const follow = () => {
    requestAnimationFrame(follow);
    const taggram = document.querySelector(".zoo-taggram");
    const audio = player();
    if (!taggram || !audio) return;
    const at = audio.currentTime / taggram.dataset.duration;
    if (taggram.shownAt === at) return;
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
    const audio = player();
    if (!strips || !audio) return;
    const box = strips.getBoundingClientRect();
    audio.currentTime = ((event.clientX - box.left) / box.width) * strips.parentElement.dataset.duration;
  });

  const refuse = (event) => {
    const refusal = document.querySelector("#zoo-refusal");
    const file = (event.dataTransfer ?? event.target).files?.[0];
    if (!refusal || !file || !event.target.closest("#zoo-audio")) return;
    const most = Number(refusal.dataset.bytes);
    refusal.hidden = file.size <= most;
    if (refusal.hidden) return;
    const size = (file.size / 1024 ** 2).toFixed(0);
    refusal.textContent = `${file.name} has ${size} MB, and this page takes up to ${most / 1024 ** 2} MB: make an mp3 of it, or cut out the part that matters.`;
    event.stopImmediatePropagation();
    event.preventDefault();
    if (event.target.type === "file") event.target.value = "";
  };
  document.addEventListener("change", refuse, true);
  document.addEventListener("drop", refuse, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest("#zoo-examples")) document.querySelector("#zoo-refusal").hidden = true;
  });
})();
