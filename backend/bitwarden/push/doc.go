// Package push hears of changes in a Bitwarden account over the notification
// service: SignalR's hub protocol in MessagePack over a WebSocket, as the official
// clients speak it. What it hears is a reason to ask, no more: nothing in a message
// is believed but its kind.
package push
