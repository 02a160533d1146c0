/* Dropout where memory runs along another axis than the keep bits, as in F order.
 *
 * The last axis has consecutive bits, the last but one neighbours in memory. A panel is a rectangle of both: its bits
 * are drawn along the last axis, transposed 32 x 32 at a time, and used along memory. Reading such an array in the
 * bits' order would take a cache line for every element.
 */

namespace {

constexpr int GROUP = 8; /* squares of 32 x 32 bits that are transposed at once */

/* from[row][word + q] to to[32 q + column][rows] */
static void transpose_32x32(uint32_t (*from)[FD_PANEL_COLUMNS / 32], int64_t word, uint32_t (*to)[FD_PANEL_ROWS / 32],
                            int64_t rows) {
    uint32_t m[32][GROUP];
    for (int row = 0; row < 32; row++) memcpy(m[row], from[row] + word, sizeof m[row]);
    uint32_t mask = 0x0000FFFF; /* the lower half of every pair of halves */
    for (int half = 16; half > FD_FAULT(transposition_unfinished, 0, 1); half /= 2, mask ^= mask << half)
        for (int row = 0; row < 32; row++) {
            if (row & half) continue;
            for (int q = 0; q < GROUP; q++) {
                const uint32_t swap = ((m[row][q] >> half) ^ m[row + half][q]) & mask;
                m[row][q] ^= swap << half;
                m[row + half][q] ^= swap;
            }
        }
    for (int q = 0; q < GROUP; q++)
        for (int column = 0; column < 32; column++) to[32 * q + column][rows] = m[column][q];
}

/* Panel `number`: its place and size, and its first element. Numbered by outer axes, panels of columns, panels of rows.
 */
struct panel {
    int64_t rows, columns, bit, offset[2];

    panel(const fd_elementwise &e, int64_t number) {
        const int columns_axis = e.ndim - 1, rows_axis = e.ndim - 2;
        const int64_t all_columns = e.shape[columns_axis], all_rows = e.shape[rows_axis];
        const int64_t across = (all_columns + FD_PANEL_COLUMNS - 1) / FD_PANEL_COLUMNS;
        const int64_t down = (all_rows + FD_PANEL_ROWS - 1) / FD_PANEL_ROWS;
        const int64_t first_row = number % down * FD_PANEL_ROWS;
        const int64_t first_column = number / down % across * FD_PANEL_COLUMNS;
        rows = smaller(all_rows - first_row, FD_PANEL_ROWS);
        columns = smaller(all_columns - first_column, FD_PANEL_COLUMNS);
        bit = (int64_t)e.first_bit + first_row * e.bit_stride[rows_axis] + FD_FAULT(transposed_panel, first_column, 0);
        for (int k = 0; k < 2; k++)
            offset[k] = first_row * e.stride[k][rows_axis] + first_column * e.stride[k][columns_axis];
        int64_t rest = number / down / across;
        for (int axis = rows_axis - 1; axis >= 0; axis--) {
            const int64_t index = rest % e.shape[axis];
            rest /= e.shape[axis];
            bit += index * e.bit_stride[axis];
            for (int k = 0; k < 2; k++) offset[k] += index * e.stride[k][axis];
        }
    }
};

/* The panels [begin, end). */
template <typename D>
static void transposed(const fd_elementwise *e, int dropout, int64_t begin, int64_t end) {
    typedef typename D::stored T;
    elementwise_walk<D> walk(*e, dropout);
    bit_source &source = walk.bits();
    const int64_t row_bits = e->bit_stride[e->ndim - 2], y_step = e->stride[0][e->ndim - 1];
    const int64_t x_step = e->stride[1][e->ndim - 1];
    for (int64_t number = begin; number < end; number++) {
        const panel p(*e, number);
        uint32_t drawn[FD_PANEL_ROWS][FD_PANEL_COLUMNS / 32], turned[32 * GROUP][FD_PANEL_ROWS / 32];
        memset(drawn, 0, (size_t)((p.rows + 31) / 32 * 32) * sizeof drawn[0]);
        for (int64_t row = 0; row < p.rows; row++)
            for (int64_t done = 0, some, position; done < p.columns; done += some) {
                some = source.next((uint64_t)(p.bit + row * row_bits + done), p.columns - done, &position);
                copy_bits(drawn[row], done, source.words, position, some);
            }
        for (int64_t column = 0; column < p.columns; column += 32 * GROUP) {
            for (int64_t row = 0; row < p.rows; row += 32) transpose_32x32(&drawn[row], column / 32, turned, row / 32);
            const int64_t some = smaller(p.columns - column, 32 * GROUP);
            for (int64_t j = 0; j < some; j++) {
                uint32_t words[FD_PANEL_ROWS / 32 + 1];
                memcpy(words, turned[j], sizeof turned[j]);
                words[FD_PANEL_ROWS / 32] = 0;
                T *y = (T *)(e->data[0] + p.offset[0] + (column + j) * y_step);
                walk.run_dropout(words, p.rows, y, (const T *)(e->data[1] + p.offset[1] + (column + j) * x_step));
            }
        }
    }
    if (e->nontemporal) end_nontemporal_stores();
}

} // namespace
