/* SPDX-License-Identifier: Apache-2.0
 *
 * The seam between the launcher, a program that is not linked with Python, and the extension
 * module, which carries the raw system calls and the embedding of the interpreter.
 */
#ifndef OCIRUNTIME_EMBED_H
#define OCIRUNTIME_EMBED_H

struct embed_paths {
    const char *install_dir;  /* holds the package `ociruntime` */
    const char *dependencies; /* searched last, or NULL */
    const char *image;        /* write the start image here and end, or NULL */
};

/* What the launcher looks up with dlsym: runs ociruntime.cli.main:main with argv[1..] and returns
 * the exit status.  To be called once, in a process that has loaded libpython globally. */
#define EMBED_ENTRY "ociruntime_embed_main"
typedef int embed_main_function(int argc, char **argv, const struct embed_paths *paths);
embed_main_function ociruntime_embed_main __attribute__((visibility("default")));

/* NULL in an ordinary Python. */
__attribute__((visibility("hidden"))) extern const char *embed_install_dir;

#endif
