"""Breaks the code in one place at a time, in a copy, and sees the models fail.

A model that passes shows something only if it would have failed. `make test_mutations` runs all
of these; with words as arguments, those whose names contain one of them. With `--check` it only
sees that each is still to be found in the code.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GROUP = "src/commit/group.rs"
WRITER = "src/commit/writer.rs"
GATE = "src/commit/gate.rs"
SHARD = "src/index/shard.rs"
TABLE = "src/index/table.rs"
MOVES = "src/index/writer.rs"
INDEX = "src/index/mod.rs"
RELOCATE = "src/index/relocate.rs"
SEGMENTS = "src/io/segments.rs"
EPOCH = "src/io/epoch/mod.rs"
DOMAIN = "src/io/epoch/domain.rs"
BARRIER = "src/io/epoch/barrier.rs"
RETIRABLE = "src/io/epoch/retirable.rs"
LOCK = "src/io/epoch/lock.rs"
SHARES = "src/snapshot/shares.rs"

# The models that must fail, what is broken, where, and how.
MUTATIONS = [
    ("commit", "the new leader is not woken", GROUP, "first.unpark();", ""),
    ("commit", "the lead is never given up", GROUP, "queue.led = false;\n            return;", "return;"),
    (
        "commit",
        "the queue is not told of a failed sync",
        GROUP,
        "gathered.finish(share_among(error, ErrorKind::Indeterminate, count));",
        "drop((gathered, count, error));",
    ),
    ("commit", "members of a group are not woken", GROUP, "member.unpark();", "drop(member);"),
    (
        "commit",
        "outcomes go to the wrong members",
        GROUP,
        "outcomes.into_iter().map(Some)",
        "outcomes.into_iter().rev().map(Some)",
    ),
    (
        "commit",
        "a group is finished before its outcomes are there",
        GROUP,
        "*self.group.outcomes.lock() = outcomes.into_iter().map(Some).collect();\n"
        "        self.group.progress.store(FINISHED, Ordering::Release);",
        "self.group.progress.store(FINISHED, Ordering::Release);\n"
        "        *self.group.outcomes.lock() = outcomes.into_iter().map(Some).collect();",
    ),
    (
        "commit",
        "a write is published before it is synced",
        WRITER,
        "if sync {\n            self.sync()?;\n        }\n"
        "        let Some(location) = location else { return Ok(false) };\n"
        "        self.count_group(1);\n"
        "        Ok(self.publish(write.change, write.hash, write.key, location))",
        "let Some(location) = location else { return Ok(false) };\n        self.count_group(1);\n"
        "        let existed = self.publish(write.change, write.hash, write.key, location);\n"
        "        if sync {\n            self.sync()?;\n        }\n        Ok(existed)",
    ),
    (
        "commit",
        "a group is published in reverse",
        WRITER,
        "let (writes, after) = rest.split_at(part.count);\n            rest = after;",
        "let (after, writes) = rest.split_at(rest.len() - part.count);\n            rest = after;",
    ),
    (
        "commit",
        "a write of a group is lost",
        WRITER,
        "for part in &pending.parts {",
        "for part in pending.parts.iter().skip(1) {",
    ),
    (
        "gate",
        "the gate stays open while a batch is published",
        GATE,
        "self.word.store(PUBLISHING, Ordering::Relaxed);",
        "",
    ),
    (
        "gate",
        "the gate is opened without Release",
        GATE,
        "self.gate.word.store(self.gate.forks, Ordering::Release);",
        "self.gate.word.store(self.gate.forks, Ordering::Relaxed);",
    ),
    (
        "gate",
        "the gate is passed without Acquire",
        GATE,
        "self.word.load(Ordering::Acquire) == fork_count()",
        "self.word.load(Ordering::Relaxed) == fork_count()",
    ),
    (
        "gate",
        "publications are not counted",
        GATE,
        "self.publications.load(Ordering::Relaxed) + 1;",
        "self.publications.load(Ordering::Relaxed);",
    ),
    (
        "gate",
        "publications are counted before the gate is closed",
        GATE,
        "self.publications.store(count, Ordering::Release);",
        "self.publications.store(count, Ordering::Relaxed);",
    ),
    (
        "gate",
        "the gate is passed before publications are counted",
        GATE,
        "let before = self.publications.load(Ordering::Acquire);\n            self.pass()?;",
        "self.pass()?;\n            let before = self.publications.load(Ordering::Acquire);",
    ),
    (
        "gate",
        "the last try does not keep batches out",
        GATE,
        "let _passage = self.passage.lock();\n        self.pass()?;",
        "",
    ),
    (
        "gate",
        "keys are counted while a batch is published",
        GATE,
        "if !self.is_open() {\n            let _passage = self.wait();\n        }\n",
        "",
    ),
    (
        "gate",
        "keys of a batch are counted one by one",
        MOVES,
        "self.shards[hash.shard()].live += 1;\n            self.len += 1;",
        "self.shards[hash.shard()].live += 1;\n            self.len += 1;\n            self.store_len();",
    ),
    (
        "index",
        "a location is published without Release",
        TABLE,
        "cell.store(slot.0, Ordering::Release);",
        "cell.store(slot.0, Ordering::Relaxed);",
    ),
    (
        "index",
        "a location is read without Acquire",
        TABLE,
        "// before its location was.\n                let bits = cell.load(Ordering::Acquire);",
        "let bits = cell.load(Ordering::Relaxed);",
    ),
    (
        "index",
        "a table is published without Release",
        RETIRABLE,
        "compare_exchange(old, new, Ordering::Release,",
        "compare_exchange(old, new, Ordering::Relaxed,",
    ),
    (
        "index",
        "a table is read without Acquire",
        RETIRABLE,
        "let pointer = self.pointer.load(Ordering::Acquire);",
        "let pointer = self.pointer.load(Ordering::Relaxed);",
    ),
    (
        "index",
        "a new table does not lead to the old one",
        RETIRABLE,
        "place.pointer.store(old, Ordering::Relaxed);",
        "let _ = place;",
    ),
    (
        "index",
        "the predecessor is loaded after the table is probed",
        SHARD,
        "let previous = table.previous.load(guard);\n"
        "        #[cfg(test)]\n        between::loading_and_looking();\n"
        "        if let Probe::Found(_, slot) = table.probe(hash, &mut is_match) {\n"
        "            return Some(slot);\n        }",
        "if let Probe::Found(_, slot) = table.probe(hash, &mut is_match) {\n"
        "            return Some(slot);\n        }\n"
        "        let previous = table.previous.load(guard);",
    ),
    (
        "index",
        "the predecessor is retired before its last line is moved",
        MOVES,
        "if to == previous.lines().len() {",
        "if to + 1 >= previous.lines().len() {",
    ),
    (
        "index",
        "a moved key replaces what was written since",
        MOVES,
        "Probe::Found(..) => false,",
        "Probe::Found(cell, _) => {\n"
        "            publish(cell, Slot::new(hash, location, false));\n            false\n        }",
    ),
    (
        "relocate",
        "slots of a predecessor are not relocated",
        RELOCATE,
        "relocate_in(previous, *moved, segment);",
        "let _ = previous;",
    ),
    (
        "relocate",
        "a predecessor is not swept",
        RELOCATE,
        ".filter(|_| !at.in_table)",
        ".filter(|_| false)",
    ),
    (
        "relocate",
        "a table is swept before its predecessor",
        RELOCATE,
        "if let Some(previous) = table.previous.load(&guard).filter(|_| !at.in_table) {",
        "let mut first = Sweep { in_table: true, ..Sweep::default() };\n"
        "                self.sweep_lines(table, table, &mut first, retired, &mut left, &guard)?;\n"
        "                if let Some(previous) = table.previous.load(&guard).filter(|_| !at.in_table) {",
    ),
    (
        "relocate",
        "a buried slot ends the search",
        TABLE,
        "Slot(tag | Slot::DELETED | Location::NOWHERE.bits())",
        "Slot(tag & Location::NOWHERE.bits())",
    ),
    (
        "relocate",
        "a slot is relocated or buried without Release",
        TABLE,
        "cell.store(slot.0, Ordering::Release);",
        "cell.store(slot.0, Ordering::Relaxed);",
    ),
    (
        "relocate",
        "a reader who was overtaken takes the key for absent",
        INDEX,
        "found = self.find_moved(hash, key, guard);\n                return true;",
        "return false;",
    ),
    (
        "relocate",
        "a reader who was overtaken twice takes the key for absent",
        INDEX,
        "None if location.is_somewhere() => looked.moved = true,",
        "None if location.is_somewhere() => {}",
    ),
    (
        "relocate",
        "any slot that was buried is taken for the key's own",
        INDEX,
        "None => self.find_moved(hash, key, guard),",
        "None => None,",
    ),
    (
        "relocate",
        "what a buried slot may hide is not looked for",
        INDEX,
        "if !in_table.moved && !in_previous.moved && (buried == 0 || met == last) {",
        "if !in_table.moved && !in_previous.moved {",
    ),
    (
        "relocate",
        "a reader who was overtaken finds the entry of a delete",
        INDEX,
        "looked.slot = Some(value.filter(|_| !slot.is_deleted()));",
        "looked.slot = Some(value);",
    ),
    (
        "relocate",
        "the number of a segment that readers may have in mind is used again",
        SEGMENTS,
        "self.slots[usize::from(id.0) % SLOTS].set_aside();",
        "self.slots[usize::from(id.0) % SLOTS].set_aside();\n"
        "            self.numbers.taken[usize::from(id.0) % SLOTS].store(false, Ordering::Release);",
    ),
    (
        "",
        "garbage is freed without waiting for readers",
        DOMAIN,
        "garbage.epoch <= newest && garbage.epoch < oldest",
        "garbage.epoch <= newest && oldest > 0",
    ),
    (
        "epoch",
        "a reader enters without a barrier",
        EPOCH,
        "EPOCH.load(Ordering::Acquire)));\n        barrier::light();",
        "EPOCH.load(Ordering::Acquire)));",
    ),
    (
        "epoch",
        "a reader leaves without Release",
        DOMAIN,
        "Presence::BORROWED, Ordering::Release);",
        "Presence::BORROWED, Ordering::Relaxed);",
    ),
    (
        "epoch",
        "slots are read without Acquire",
        DOMAIN,
        "Presence(slot.0.load(Ordering::Acquire))",
        "Presence(slot.0.load(Ordering::Relaxed))",
    ),
    (
        "epoch",
        "whoever retires has no barrier",
        BARRIER,
        "heavy() -> bool {\n    fence(Ordering::SeqCst);",
        "heavy() -> bool {",
    ),
    (
        "epoch",
        "a reader leaves without a barrier",
        EPOCH,
        "slot.leave(presence);\n    // Either the scan sees the store above, or this sees that something waits.\n"
        "    barrier::light();",
        "slot.leave(presence);",
    ),
    (
        "epoch",
        "the last reader frees nothing",
        EPOCH,
        "presence.epoch() <= domain::WAITING.load(Ordering::Relaxed) ||",
        "",
    ),
    (
        "epoch",
        "an inner guard ends the outer one",
        EPOCH,
        "if presence.guards() == 1 {",
        "if presence.guards() >= 1 {",
    ),
    (
        "epoch",
        "the spin lock is released without Release",
        LOCK,
        "self.taken.store(false, Ordering::Release);",
        "self.taken.store(false, Ordering::Relaxed);",
    ),
    (
        "epoch",
        "the spin lock is taken without Acquire",
        LOCK,
        "compare_exchange(false, true, Ordering::Acquire,",
        "compare_exchange(false, true, Ordering::Relaxed,",
    ),
    (
        "shares",
        "what is done amid a report is not told",
        SHARES,
        "                continue;\n",
        "",
    ),
    (
        "shares",
        "who waits is not told that the turn is passed on",
        SHARES,
        "self.turn.lock().share += 1;\n        self.changed.notify_all();",
        "self.turn.lock().share += 1;",
    ),
    (
        "shares",
        "who waits is not told of a share that has failed",
        SHARES,
        "turn.failed = turn.failed.min(self.share);\n        self.shares.changed.notify_all();",
        "turn.failed = turn.failed.min(self.share);",
    ),
    (
        "shares",
        "a place is taken out of turn",
        SHARES,
        "if turn.share == share && (report",
        "if turn.share <= share && (report",
    ),
    (
        "shares",
        "a share behind the one that failed ends the copy of those before it",
        SHARES,
        "if turn.failed < share {",
        "if turn.failed != usize::MAX {",
    ),
]


def fails(tree, models):
    """Whether the models fail; code that does not compile is an error of this list."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "mutations"
    environment = os.environ | {
        "RUSTFLAGS": "--cfg loom",
        "CARGO_TARGET_DIR": str(target.resolve()),
        "CARGO_PROFILE_TEST_OPT_LEVEL": "1",
        "RUST_BACKTRACE": "0",
    }
    test = ["cargo", "test", "--lib", "--quiet"]
    subprocess.run([*test, "--no-run"], cwd=tree, env=environment, check=True, capture_output=True)
    run = [*test, f"models::{models}"]
    return subprocess.run(run, cwd=tree, env=environment, capture_output=True).returncode != 0


def read_once(tree, name, path, old):
    """The text of the file, in which what a mutation replaces stands once."""
    text = (tree / path).read_text()
    if text.count(old) != 1:
        sys.exit(f"{path} has changed: {name!r} is to be found there once")
    return text


def main():
    wanted = sys.argv[1:]
    if wanted == ["--check"]:
        for _, name, path, old, _ in MUTATIONS:
            read_once(ROOT, name, path, old)
        return
    survivors = 0
    with tempfile.TemporaryDirectory() as directory:
        tree = pathlib.Path(directory) / "kvstore"
        left_out = shutil.ignore_patterns("target", ".git", ".venv")
        shutil.copytree(ROOT, tree, ignore=left_out)
        for models, name, path, old, new in MUTATIONS:
            if wanted and not any(word in name for word in wanted):
                continue
            file = tree / path
            text = read_once(tree, name, path, old)
            file.write_text(text.replace(old, new))
            failed = fails(tree, models)
            file.write_text(text)
            print("noticed " if failed else "SURVIVED", name, flush=True)
            survivors += not failed
    if survivors:
        sys.exit(f"{survivors} mutations were not noticed")


if __name__ == "__main__":
    main()
