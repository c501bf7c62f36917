/* SPDX-License-Identifier: Apache-2.0
 *
 * A session keyring of its own: no key of the caller is reachable (keyctl(2)).
 */
#include "keyring.h"

#include <linux/errno.h>
#include <linux/keyctl.h>

#include "raw.h"

enum { KEY_TEXT = 512 };
/* keyctl_setperm(3): the possessor keeps all, the user may view, read and search. */
enum { USER_VIEW_READ_SEARCH = 0x000b0000 };

/* `type;uid;gid;PERMISSIONS;name`, the permissions in hexadecimal (keyctl(2)). */
static unsigned int permissions_of(const char *text, long length)
{
    unsigned int value = 0;
    int field = 0;
    for (long i = 0; i < length && field < 4; i++) {
        char letter = text[i];
        if (letter == ';')
            field++;
        else if (field == 3)
            value = value << 4 | (unsigned int)(letter <= '9' ? letter - '0' : (letter | 32) - 'a' + 10);
    }
    return value;
}

long own_keyring(const char *name)
{
    char text[KEY_TEXT];
    long key = sys(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    if (key < 0)
        return key;
    long result = sys(__NR_keyctl, KEYCTL_DESCRIBE, key, text, sizeof text);
    if (result > KEY_TEXT)
        return -EOVERFLOW; /* nothing was written */
    if (result < 0)
        return result;
    return sys(__NR_keyctl, KEYCTL_SETPERM, key, permissions_of(text, result) | USER_VIEW_READ_SEARCH);
}
