const state = document.getElementById("state");
const cameras = document.getElementById("cameras");

async function give(verb) {
  const answer = await fetch(`/api/blackbox/${verb}`, { method: "POST", body: "{}" });
  const document_ = await answer.json();
  state.title = document_.message || document_.detail || "";
}

function show(status) {
  state.textContent = status.state;
  for (const camera of Object.keys(status.cameras)) {
    if (!document.getElementById(`live-${camera}`)) {
      const picture = document.createElement("img");
      picture.id = `live-${camera}`;
      picture.alt = `Live picture of ${camera}`;
      picture.width = 480;
      picture.src = `/stream/${camera}`;
      cameras.append(picture);
    }
  }
}

document.getElementById("start").addEventListener("click", () => give("start"));
document.getElementById("stop").addEventListener("click", () => give("stop"));
const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`);
socket.addEventListener("message", (event) => {
  const message = JSON.parse(event.data);
  if (message.type === "status") show(message.data);
});
