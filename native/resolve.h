/* SPDX-License-Identifier: Apache-2.0
 *
 * Places in the container's root that may have to be made.  Everything below the root is hostile and
 * may change meanwhile: what these return was reached without leaving it, and what they make is made
 * relative to a descriptor of its parent, one component at a time, never through a symlink.
 */
#ifndef OCIRUNTIME_RESOLVE_H
#define OCIRUNTIME_RESOLVE_H

#include <linux/types.h>

enum { PATH_SPACE = 2 * 4096 };

struct place;

/* Makes the last component `name` in `directory`, and tells of it (told()).  A descriptor of it,
 * NO_DESCRIPTOR without one, or -errno; after -EEXIST an O_PATH descriptor of what is there counts. */
typedef long maker(struct place *place, int directory, const char *name);
enum { NO_DESCRIPTOR = 0x7fffffff };

struct place {
    int root;
    __u32 mode;           /* of what is made; of directories on the way 0755 */
    int follows;          /* a symlink to something missing leads there */
    maker *make;          /* null: a directory */
    char path[PATH_SPACE]; /* relative to the root, without "" and "."; as far as it was resolved */
    /* Whoever is told what was made, and where. */
    void (*told)(struct place *place, int parent, const char *name, const char *path,
                 int is_directory);
    long failed;          /* what told() could not do */
    void *teller;
    const void *of_maker;
};

/* Takes on a path as a config gives it; -ENAMETOOLONG. */
long set_path(struct place *place, const char *path);

/* Makes what is missing of it; a descriptor as the maker's, or -errno. */
long make_place(struct place *place);

#endif
