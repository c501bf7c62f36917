/* SPDX-License-Identifier: Apache-2.0
 *
 * The file is the image's, so it may hold anything, and change while it is read: it is taken byte
 * by byte, and a line that is too long or has a NUL in its home directory does not count.
 */
#include "home.h"

#include <linux/fcntl.h>
#include <linux/stat.h>

#include "inside.h"
#include "raw.h"

enum { PIECE = 1024, LIMIT = 1 << 20, DIGITS = 10 };
enum { FIELD_UID = 2, FIELD_HOME = 5 };

static const char NAME[] = "HOME=";
enum { NAME_BYTES = sizeof NAME - 1 };

/* What is known of the line that is being read. */
struct line {
    int field;
    int is_other;          /* another uid's, or unusable */
    unsigned int matched;  /* digits of the uid */
    unsigned long length;  /* of the home directory */
};

static unsigned int digits_of(unsigned int number, char *digits)
{
    char reversed[DIGITS];
    unsigned int count = 0;
    do
        reversed[count++] = (char)('0' + number % 10);
    while (number /= 10);
    for (unsigned int i = 0; i < count; i++)
        digits[i] = reversed[count - 1 - i];
    return count;
}

static int is_found(const struct line *line)
{
    return line->field >= FIELD_HOME && !line->is_other && line->length > 0;
}

static void take(struct line *line, char letter, const char *digits, unsigned int count,
                 char *home)
{
    if (letter == ':') {
        if (line->field == FIELD_UID && line->matched != count)
            line->is_other = 1;
        line->field++;
    } else if (line->field == FIELD_UID) {
        if (line->matched == count || letter != digits[line->matched])
            line->is_other = 1;
        else
            line->matched++;
    } else if (line->field == FIELD_HOME && !line->is_other) {
        if (letter == 0 || line->length == HOME_BYTES - NAME_BYTES - 1)
            line->is_other = 1;
        else
            home[line->length++] = letter;
    }
}

int home_of(int file, unsigned int uid, char *variable)
{
    static const struct line EMPTY;
    struct line line = EMPTY;
    char digits[DIGITS], piece[PIECE];
    char *home = variable + NAME_BYTES;
    unsigned int count = digits_of(uid, digits);
    int found = 0;
    for (long total = 0; !found && total < LIMIT;) {
        long size = sys(__NR_read, file, piece, sizeof piece);
        if (size < 0)
            return 0;
        if (size == 0)
            break;
        total += size;
        for (long i = 0; i < size && !found; i++) {
            if (piece[i] != '\n')
                take(&line, piece[i], digits, count, home);
            else if (!(found = is_found(&line)))
                line = EMPTY;
        }
    }
    if (!found && !is_found(&line))
        return 0;
    for (unsigned int i = 0; i < NAME_BYTES; i++)
        variable[i] = NAME[i];
    home[line.length] = 0;
    return 1;
}

/* The image's passwd, -1 if it has none that is a file: neither a FIFO nor a device may hold us
 * up. */
int open_passwd(int root)
{
    struct statx found;
    int probe = open_inside(root, "/etc/passwd", O_PATH);
    if (probe < 0)
        return -1;
    look(probe, &found);
    sys(__NR_close, probe);
    if (!is_kind(&found, S_IFREG))
        return -1;
    int file = open_inside(root, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return -1;
    look(file, &found);
    if (is_kind(&found, S_IFREG))
        return file;
    sys(__NR_close, file);
    return -1;
}
