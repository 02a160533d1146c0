/* Dropout where memory runs along another axis than the decisions, as in F order: for one dtype.
 *
 * The last axis carries consecutive decisions, the last but one neighbours in memory. A unit is a block of both: its
 * bits are drawn along the decisions, transposed 32 x 32 at a time, and used along memory. Reading such an array in
 * the decisions' order would take a cache line for every element.
 */

/* units: outer axes x blocks of columns (decisions) x blocks of rows (memory) */
static void NAME(transposed)(const fd_elementwise *e, int64_t begin, int64_t end) {
    const int columns_axis = e->ndim - 1, rows_axis = e->ndim - 2;
    const int64_t all_columns = e->shape[columns_axis], all_rows = e->shape[rows_axis];
    const int64_t column_blocks = (all_columns + FD_BLOCK_COLUMNS - 1) / FD_BLOCK_COLUMNS;
    const int64_t row_blocks = (all_rows + FD_BLOCK_ROWS - 1) / FD_BLOCK_ROWS;
    bit_source source;
    open_source(&source, e->recipe);
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t first_row = unit % row_blocks * FD_BLOCK_ROWS;
        const int64_t first_column = unit / row_blocks % column_blocks * FD_BLOCK_COLUMNS;
        const int64_t rows = all_rows - first_row < FD_BLOCK_ROWS ? all_rows - first_row : FD_BLOCK_ROWS;
        const int64_t columns =
            all_columns - first_column < FD_BLOCK_COLUMNS ? all_columns - first_column : FD_BLOCK_COLUMNS;
        int64_t rest = unit / row_blocks / column_blocks;
        int64_t decision = (int64_t)e->first + first_row * e->decision_stride[rows_axis] +
                           FD_FAULT(transposed_block, first_column, 0);
        int64_t offset[2];
        for (int k = 0; k < 2; k++)
            offset[k] = first_row * e->stride[k][rows_axis] + first_column * e->stride[k][columns_axis];
        for (int axis = rows_axis - 1; axis >= 0; axis--) {
            const int64_t index = rest % e->shape[axis];
            rest /= e->shape[axis];
            decision += index * e->decision_stride[axis];
            for (int k = 0; k < 2; k++) offset[k] += index * e->stride[k][axis];
        }
        uint32_t drawn[FD_BLOCK_ROWS][FD_BLOCK_COLUMNS / 32], turned[32 * FD_TURNED][FD_BLOCK_ROWS / 32];
        memset(drawn, 0, (size_t)((rows + 31) / 32 * 32) * sizeof drawn[0]);
        for (int64_t row = 0; row < rows; row++)
            for (int64_t done = 0, position; done < columns;) {
                const uint64_t first = (uint64_t)(decision + row * e->decision_stride[rows_axis] + done);
                const int64_t some = next_bits(&source, first, columns - done, &position);
                copy_bits(drawn[row], done, source.keep, position, some);
                done += some;
            }
        for (int64_t column = 0; column < columns; column += 32 * FD_TURNED) {
            for (int64_t row = 0; row < rows; row += 32) turn(&drawn[row], column / 32, turned, row / 32);
            const int64_t some = columns - column < 32 * FD_TURNED ? columns - column : 32 * FD_TURNED;
            for (int64_t j = 0; j < some; j++) {
                uint32_t words[FD_BLOCK_ROWS / 32 + 1];
                memcpy(words, turned[j], sizeof turned[j]);
                T *y = (T *)(e->data[0] + offset[0] + (column + j) * e->stride[0][columns_axis]);
                const T *x = (const T *)(e->data[1] + offset[1] + (column + j) * e->stride[1][columns_axis]);
                const T *const in[3] = {x, x, x};
                words[FD_BLOCK_ROWS / 32] = 0;
                NAME(contiguous)(FD_DROPOUT, e->stream, words, 0, rows, NAME(constants_of)(e), y, in, (S *)(void *)y);
            }
        }
    }
    if (e->stream) fd_stream_end();
}
