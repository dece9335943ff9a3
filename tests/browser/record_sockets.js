// Runs in the page before its own scripts: keeps each WebSocket's address, and how it closed, in
// `recordedSockets`. The page gets the browser's own socket; a listener is all that is added.
window.recordedSockets = [];
window.WebSocket = new Proxy(WebSocket, {
    construct(Native, args) {
        const socket = new Native(...args);
        const record = { url: socket.url, code: null, reason: null };
        window.recordedSockets.push(record);
        socket.addEventListener("close", ({ code, reason }) =>
            Object.assign(record, { code, reason }),
        );
        return socket;
    },
});
