#!/usr/bin/env python3
"""Plays an OpenAI-compatible service that writes minutes by rules: for trying `minutes` without a model.

    python3 examples/meeting/service.py 8088 &
    OPENAI_BASE_URL=http://127.0.0.1:8088/v1 OPENAI_API_KEY=none cargo run --release --features audio,remote \
        --example minutes -- --audio meeting.wav --asr openai/whisper-tiny --writer openai:rules > minutes.md

It takes lines that say who will do what, or that something is decided, for actions and decisions, and each tenth line for the summary.
What the rules miss is missing from the minutes: the example shows the way, not what a language model finds.
"""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LINE = re.compile(r"^\[([\d:]+)(?:[^\]]*)\]\s*(.*)$")
ACTION = re.compile(r"\bI(?: will|'ll) (?!not|be\b|let\b|try\b)(.+?)(?: (by|on|until|next) ([^.,]+))?[.,]", re.I)
DECISION = re.compile(r"^(?:then )?(?:it is decided|so it is decided|decided|agreed|we (?:release|book|buy|lease|keep|move|take|answer)\b)(.*)", re.I)


def answer(question):
    if "title and the summary" in question:
        notes = [LINE.match(line) for line in question.splitlines()]
        notes = [note for note in notes if note]
        picked = notes[:: max(1, len(notes) // 5)][:6]
        return "\n".join(["TITLE: Weekly product meeting", *(f"SUMMARY [{note[1]}] {note[2]}" for note in picked)])
    found, lines = ["TITLE: Weekly product meeting"], [LINE.match(line) for line in question.splitlines()]
    for number, line in enumerate([line for line in lines if line]):
        time, said = line[1], line[2]
        speaker = re.match(r"([A-Z]\w+): ", said)
        text = said[speaker.end() :] if speaker else said
        if number == 0 and (date := re.search(r"today is ([^.]+)", text, re.I)):
            found.append(f"DATE: {date[1]}")
        if number % 10 == 0:
            found.append(f"SUMMARY [{time}] {text}")
        if action := ACTION.search(text + "."):
            due = f"{action[2]} {action[3]}" if action[3] else "-"
            found.append(f"ACTION [{time}] {speaker[1] if speaker else '-'} | {due} | {action[1]}")
        for sentence in re.split(r"(?<=[.!?]) ", text):
            if DECISION.match(sentence):
                found.append(f"DECISION [{time}] {sentence}")
    return "\n".join(found)


class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = answer(body["messages"][-1]["content"])
        if body.get("stream"):
            pieces = [text[at : at + 40] for at in range(0, len(text), 40)]
            events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
            events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            reply = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            message = {"role": "assistant", "content": text}
            reply, kind = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}), "application/json"
        data = reply.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
