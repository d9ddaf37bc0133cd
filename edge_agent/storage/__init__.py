"""Everything that touches the disk where footage lies: the spool, the archive, its volume.

Every function here blocks (fsync on an SD card can take seconds). None may be called from the event loop: all calls for
one disk come from one thread, so that their order on disk is the order of the calls, and nothing in here takes a lock.
Trouble with the disk is a `StorageError` that says what kind it is, or a value where the docstring says so.

    spool          where recorders write, one directory per run: run_record, segment_list, open_segment
    archive        what is stored: commit, catalog (index, extras, columns, scan), locks, uploads, album, scratch
    volume         the right disk? room, read-only, broken?
    fmp4 metadata  what lies in a segment file, sans-I/O; soundness: whether it does
    state journal  what the agent itself remembers
    claim          one agent for one state directory, and for one volume
    tree errors    opening without following links, naming trouble

Invariants of the files, true at every instant, whatever dies:

1. A file under a dated name is complete: it starts and ends at whole fragments, carries its own description in a
   trailing box, was synced before it got the name, and never changes afterwards but by being deleted.
2. Footage lies in the spool or under a dated name, for an instant under both (two names of one inode), never under
   neither.
3. The directory tree is the index. The SQLite file in the state directory is a cache of it and may be deleted.
4. Only names that `core.segments` builds are ours. Everything else in the tree, and every link, is left alone.
5. A `.lock` beside a segment protects it; the file's presence counts, not its content.
6. An `.uploaded` beside a segment or clip says that all of it lies in a store elsewhere; its presence counts as well.
"""
