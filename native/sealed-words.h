/* SPDX-License-Identifier: Apache-2.0
 *
 * Which commands run sealed (seal.h).
 */
#ifndef OCIRUNTIME_SEALED_WORDS_H
#define OCIRUNTIME_SEALED_WORDS_H

/* Whether `word` is among the arguments. Looking at every one costs a needless step now and then; a
 * missed one would be a hole. */
static inline int has_word(int argc, char *const argv[], const char *word)
{
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i], *wanted = word;
        while (*argument != '\0' && *argument == *wanted)
            argument++, wanted++;
        if (*argument == *wanted)
            return 1;
    }
    return 0;
}

/* Whether a child that this command's process forks enters a container. (Of exec and of hooks it is
 * oci-exec that does, from a memfd of its own.) */
static inline int must_be_sealed(int argc, char *const argv[])
{
    return has_word(argc, argv, "create") || has_word(argc, argv, "run") ||
           has_word(argc, argv, "restore") || has_word(argc, argv, "mounts") ||
           has_word(argc, argv, "shim") || has_word(argc, argv, "zygote");
}

#endif
