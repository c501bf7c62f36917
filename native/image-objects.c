/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects follow one another in an image, from a huge page's boundary on, with nothing between them:
 * those that most commands change come first, and are mapped as huge pages (front-image.c).
 *
 * Mappings follow one another in the process that becomes an image (image-host.c), so what has no
 * place before the objects would lie between them. The libraries of Python's modules, of which an
 * interpreter as its makers ship it has dozens, come while objects are made: they get a room of their
 * own, which is open while a library is mapped and never else.
 */
#define PY_SSIZE_T_CLEAN
#include "image-objects.h"

#include <Python.h>

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image.h"

/* More than any hole between the mappings of a process that becomes an image. */
#define BEHIND_ALL_HOLES (1UL << 33)

/* What Python and malloc take at a time for objects (ARENA_SIZE of obmalloc, MMAP_AS_MORECORE_SIZE of
 * glibc). */
#define OBJECTS_AT_ONCE (1UL << 20)

/* For a hundred libraries. What is left is in no image. */
#define ROOM (32UL << 20)

/* What is free of the room, while it is shut: nobody else gets it. */
static char *room, *room_end;

static PyObject *create_dynamic; /* Python's own */

static char *reserve(char *place, size_t size)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    return mmap(place, size, PROT_NONE, flags | (place ? MAP_FIXED_NOREPLACE : 0), -1, 0);
}

/* Holes before those mappings that the kernel puts on a huge page's boundary are filled up where they
 * have room for objects; what is left takes small libraries. */
void image_align_objects(void)
{
    char *behind = reserve(NULL, BEHIND_ALL_HOLES), *place;
    if (behind == MAP_FAILED)
        return;
    munmap(behind, BEHIND_ALL_HOLES);
    char *start = behind + ((size_t) - (uintptr_t)behind & (IMAGE_HUGE_PAGE - 1));
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)reserve(start - page, page);
    if (reserve(start, ROOM) == start) {
        room = start;
        room_end = start + ROOM;
    }
    while ((place = reserve(NULL, OBJECTS_AT_ONCE)) != MAP_FAILED && place < start)
        continue;
    if (place != MAP_FAILED)
        munmap(place, OBJECTS_AT_ONCE);
}

static void open_room(void)
{
    munmap(room, (size_t)(room_end - room));
}

/* The kernel fills it from below: from some page on, which is looked for, all of it is free. */
static void shut_room(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t taken = 0, all = (size_t)(room_end - room) / page;
    for (size_t free = all; taken < free;) {
        size_t middle = taken + (free - taken) / 2, size = (all - middle) * page;
        if (reserve(room + middle * page, size) == MAP_FAILED) {
            taken = middle + 1;
        } else {
            free = middle;
            munmap(room + middle * page, size);
        }
    }
    room += taken * page;
    if (room < room_end)
        (void)reserve(room, (size_t)(room_end - room));
}

/* In place of _imp.create_dynamic(spec, file=None), which finds the library loaded. */
static PyObject *load_apart(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *spec = PyTuple_GetItem(arguments, 0), *path = NULL;
    PyObject *origin = spec != NULL ? PyObject_GetAttrString(spec, "origin") : NULL;
    int is_path = origin != NULL && PyUnicode_FSConverter(origin, &path);
    Py_XDECREF(origin);
    if (!is_path)
        return NULL;
    if (room < room_end) {
        open_room();
        (void)dlopen(PyBytes_AS_STRING(path), RTLD_NOW); /* an error is Python's to tell */
        shut_room();
    }
    Py_DECREF(path);
    return PyObject_CallObject(create_dynamic, arguments);
}

static int set_loader(PyObject *loader)
{
    PyObject *module = PyImport_ImportModule("_imp");
    int result = module != NULL ? PyObject_SetAttrString(module, "create_dynamic", loader) : -1;
    Py_XDECREF(module);
    return result;
}

int image_begin_loading(void)
{
    static PyMethodDef apart = {"create_dynamic", load_apart, METH_VARARGS, NULL};
    PyObject *module = PyImport_ImportModule("_imp");
    create_dynamic = module != NULL ? PyObject_GetAttrString(module, "create_dynamic") : NULL;
    Py_XDECREF(module);
    PyObject *loader = create_dynamic != NULL ? PyCFunction_New(&apart, NULL) : NULL;
    int result = loader != NULL ? set_loader(loader) : -1;
    Py_XDECREF(loader);
    return result;
}

int image_end_loading(void)
{
    int result = set_loader(create_dynamic);
    Py_CLEAR(create_dynamic);
    return result;
}
