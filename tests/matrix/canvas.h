/*
 * canvas.h - filled rectangles and lines of text, as an SVG, or as a PNG where that isn't shown.
 *
 * One drawing goes through both: the same calls on a canvas of either kind.
 */
#ifndef MATRIX_CANVAS_H
#define MATRIX_CANVAS_H

#include <stdbool.h>
#include <stdint.h>

struct canvas;
enum canvas_kind { CANVAS_SVG, CANVAS_PNG };
enum canvas_align { ALIGN_LEFT, ALIGN_MIDDLE, ALIGN_RIGHT };

/* colour is 0xrrggbb.  NULL when the file can't be made. */
struct canvas *canvas_open(const char *path, enum canvas_kind kind, int width, int height);
void canvas_rect(struct canvas *c, int x, int y, int width, int height, uint32_t colour);

/* y is that of the top; a line is CANVAS_LINE high.  Letters, digits and " /.%+-,:<>()" can be drawn. */
enum { CANVAS_LINE = 9 };
void canvas_text(struct canvas *c, int x, int y, enum canvas_align align, uint32_t colour,
                 const char *text);

/* False when something could not be written. */
bool canvas_close(struct canvas *c);

#endif
