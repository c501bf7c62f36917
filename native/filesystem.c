/* SPDX-License-Identifier: Apache-2.0
 *
 * A detached mount of a new filesystem (fsopen(2)).
 */
#include <linux/errno.h>
#include <linux/mount.h>

#include "raw.h"
#include "setup.h"

enum { MESSAGES = 8, MESSAGE_BYTES = 512, KEY_BYTES = 256 };

/* What the filesystem wrote into its context's log, one message a line. */
static void hear(struct setup *self, int context)
{
    for (int i = 0; i < MESSAGES && self->said + MESSAGE_BYTES < sizeof self->saying; i++) {
        long size = sys(__NR_read, context, self->saying + self->said, MESSAGE_BYTES);
        if (size < 0)
            break;
        self->said += (unsigned int)size;
        self->saying[self->said++] = '\n';
    }
}

/* "key=value" or "key". */
static long configure(int context, const char *option)
{
    char key[KEY_BYTES];
    unsigned int length = 0;
    for (; option[length] && option[length] != '='; length++) {
        if (length == sizeof key - 1)
            return -EINVAL;
        key[length] = option[length];
    }
    key[length] = 0;
    if (option[length] == '=')
        return sys(__NR_fsconfig, context, FSCONFIG_SET_STRING, key, option + length + 1, 0);
    return sys(__NR_fsconfig, context, FSCONFIG_SET_FLAG, key, 0, 0);
}

static long configure_all(struct setup *self, const struct filesystem *wanted, int context)
{
    const char *source = wanted->source, *option = wanted->options, *flag = wanted->flags;
    const char *end = (const char *)self->program + self->program->operations;
    long result = 0;
    if (*source)
        result = sys(__NR_fsconfig, context, FSCONFIG_SET_STRING, "source", source, 0);
    for (unsigned long i = 0; result >= 0 && i < wanted->option_count && option < end; i++) {
        result = configure(context, option);
        if (result < 0)
            self->why = FAILED_OPTION + (long)i;
        while (*option++)
            continue;
    }
    for (unsigned long i = 0; result >= 0 && i < wanted->flag_count && flag < end; i++) {
        result = configure(context, flag);
        if (result == -EINVAL) {
            result = 0; /* many filesystems do not have it */
            hear(self, context); /* or a later failure would be explained by this one */
            self->said = 0;
        }
        while (*flag++)
            continue;
    }
    return result;
}

long make_filesystem(struct setup *self, const struct filesystem *wanted)
{
    int context = (int)sys(__NR_fsopen, wanted->type, FSOPEN_CLOEXEC);
    if (context < 0)
        return context;
    long result = configure_all(self, wanted, context);
    if (result >= 0)
        result = sys(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    if (result >= 0)
        result = sys(__NR_fsmount, context, FSMOUNT_CLOEXEC, wanted->attributes);
    if (result < 0)
        hear(self, context);
    sys(__NR_close, context);
    return result;
}
