/* SPDX-License-Identifier: Apache-2.0
 *
 * Which commands run sealed (seal.h).
 */
#ifndef OCIRUNTIME_SEALED_WORDS_H
#define OCIRUNTIME_SEALED_WORDS_H

/* Whether this command's process, or a child it forks, enters a container. Looking at every
 * argument costs a needless sealing now and then; a missed one would be a hole. */
static inline int must_be_sealed(int argc, char *const argv[])
{
    static const char *const COMMANDS[] = {"create", "run", "exec", "restore", "shim", "zygote"};
    for (int i = 1; i < argc; i++) {
        for (unsigned int j = 0; j < sizeof COMMANDS / sizeof COMMANDS[0]; j++) {
            const char *word = argv[i], *command = COMMANDS[j];
            while (*word != '\0' && *word == *command)
                word++, command++;
            if (*word == *command)
                return 1;
        }
    }
    return 0;
}

#endif
