/* What the files of the field oracle's program share: see look.c. */
#ifndef LOOK_H
#define LOOK_H

#include <stdio.h>

extern FILE *out; /* the report: one JSON object, made of members */

void member(const char *name);                                         /* "name": */
void text(const char *name, const char *value);                        /* value may be any bytes */
void number(const char *name, long long value);
void result(const char *name, long long value);                        /* or -errno if it is -1 */
void file(const char *name, const char *path);                         /* its first bytes */
void begin(const char *name, char kind);                               /* { or [ */
void end(char kind);
void element(const char *value);                                       /* of an array, or a string */

void look_identity(void);
void look_attributes(void);
void look_signals(void);
void look_session(void);
void look_descriptors(void);
void look_network(void);
void look_calls(void);
void look_tree(void);
int be_caller(int argc, char **argv);
int hold_namespace(const char *propagation);

#endif
